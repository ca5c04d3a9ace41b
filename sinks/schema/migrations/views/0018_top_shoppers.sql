CREATE OR REPLACE VIEW top_shoppers
(
    user_id String COMMENT 'the shopper',
    event_at DateTime64(3, 'UTC') COMMENT 'time of the latest event',
    event_id String COMMENT 'the latest event',
    event_type LowCardinality(String) COMMENT 'kind of the latest event',
    item_id String COMMENT 'item of the latest event; empty if it has none',
    category LowCardinality(String) COMMENT 'category of the latest event; empty if it has none',
    channel LowCardinality(String) COMMENT 'channel of the latest event; empty if it does not say',
    price Nullable(Float64) COMMENT 'price of the latest event that has one; NULL if none has',
    propensity_session Float32 COMMENT 'probability of a purchase later in this session; NaN if the model has no such horizon',
    propensity_1h Float32 COMMENT 'probability of a purchase within 1 hour after the latest event',
    propensity_24h Float32 COMMENT 'probability of a purchase within 24 hours after the latest event',
    model LowCardinality(String) COMMENT 'version of the model that scored it',
    value_at_stake Nullable(Float64) COMMENT 'propensity_24h x price; NULL without a price or a propensity',
    segment LowCardinality(String) COMMENT 'high, medium or low by propensity_24h; unknown if the model has no such horizon',
    events UInt64 COMMENT 'how many events of the shopper are kept',
    last_events Array(Tuple(event_at DateTime64(3, 'UTC'), event_type LowCardinality(String), item_id String, propensity_24h Float32)) COMMENT 'up to ten of the latest events, the newest first'
) AS
WITH
(SELECT (segment_high, segment_medium) FROM bounds) AS segment_bounds,
candidates AS
(
    SELECT user_id
    FROM
    (
        SELECT user_id, max(event_time) AS latest, argMax(propensity_24h, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS likelihood
        FROM scores
        GROUP BY user_id
    )
    WHERE isFinite(likelihood)
    ORDER BY likelihood DESC, latest DESC, user_id
    LIMIT 200
),
histories AS
(
    SELECT
        user_id,
        max(event_time) AS latest,
        argMax(event_id, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_event_id,
        argMax(event_type, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_event_type,
        argMax(item_id, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_item_id,
        argMax(category, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_category,
        argMax(channel, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_channel,
        argMax(price, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_price,
        argMax(propensity_session, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_propensity_session,
        argMax(propensity_1h, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_propensity_1h,
        argMax(propensity_24h, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_propensity_24h,
        argMax(model, toUInt64(event_time) * 4194304 + source_offset % 4194304) AS latest_model,
        count() AS events,
        arrayReverseSort(groupArray((event_time, source_offset, source_topic, source_partition, event_type, item_id, propensity_24h))) AS newest
    FROM scores
    WHERE user_id IN (SELECT user_id FROM candidates)
    GROUP BY user_id
)
SELECT
    user_id,
    fromUnixTimestamp64Milli(latest, 'UTC') AS event_at,
    latest_event_id AS event_id,
    latest_event_type AS event_type,
    latest_item_id AS item_id,
    latest_category AS category,
    latest_channel AS channel,
    latest_price AS price,
    latest_propensity_session AS propensity_session,
    latest_propensity_1h AS propensity_1h,
    latest_propensity_24h AS propensity_24h,
    latest_model AS model,
    propensity_24h * price AS value_at_stake,
    multiIf(propensity_24h >= segment_bounds.1, 'high', propensity_24h >= segment_bounds.2, 'medium', 'low') AS segment,
    events,
    arrayMap(
        each -> (fromUnixTimestamp64Milli(each.1, 'UTC'), each.5, each.6, each.7),
        arraySlice(arrayDistinct(arraySlice(newest, 1, 30)), 1, 10)
    ) AS last_events
FROM histories
ORDER BY propensity_24h DESC, event_at DESC, user_id
COMMENT 'The 200 likeliest buyers by propensity_24h of their latest event, each with up to ten latest events; columns as in latest_scores'
