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
SELECT *
FROM shoppers(until_ms = 9000000000000)
WHERE user_id IN (SELECT user_id FROM latest_scores WHERE isFinite(propensity_24h) ORDER BY propensity_24h DESC, event_at DESC, user_id LIMIT 200)
ORDER BY propensity_24h DESC, event_at DESC, user_id
COMMENT 'The 200 likeliest buyers by propensity_24h of their latest event, each with up to ten latest events; columns as in latest_scores'
