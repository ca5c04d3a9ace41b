-- A shopper's latest score is that of the event that arrived last, whenever it happened: its propensities know of all
-- events before it, and the worker's look-ups and the end of the scores topic have the same. Events are scored in the
-- order in which they arrive, those of one millisecond in the order of their offsets, which one number tells: 4194304 are
-- 22 bits. Somebody who was anonymous until a user claimed the id, and did nothing under it since, is that user and no
-- shopper more. Made when asked, from the table: of a few columns, or of a few shoppers, the rest is never read. How things
-- stood at an earlier time, which pages compare with, is the same of the events before it.
CREATE OR REPLACE VIEW shoppers AS
WITH
    (SELECT (segment_high, segment_medium) FROM bounds) AS segment_bounds,
    toUInt64(scored_at) * 4194304 + source_offset % 4194304 AS moment
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
    if(isNaN(propensity_24h), NULL, propensity_24h * price) AS value_at_stake,
    multiIf(isNaN(propensity_24h), 'unknown', propensity_24h >= segment_bounds.1, 'high', propensity_24h >= segment_bounds.2, 'medium', 'low') AS segment,
    events,
    arrayMap(
        each -> (fromUnixTimestamp64Milli(each.5, 'UTC'), each.6, each.7, each.8),
        arraySlice(arrayDistinct(arraySlice(newest, 1, 30)), 1, 10)
    ) AS last_events
FROM
(
    SELECT
        user_id,
        argMax(event_time, moment) AS latest,
        argMax(event_id, moment) AS latest_event_id,
        argMax(event_type, moment) AS latest_event_type,
        argMax(item_id, moment) AS latest_item_id,
        argMax(category, moment) AS latest_category,
        argMax(channel, moment) AS latest_channel,
        argMax(price, moment) AS latest_price,
        argMax(propensity_session, moment) AS latest_propensity_session,
        argMax(propensity_1h, moment) AS latest_propensity_1h,
        argMax(propensity_24h, moment) AS latest_propensity_24h,
        argMax(model, moment) AS latest_model,
        count() AS events,
        arrayReverseSort(groupArray((scored_at, source_offset, source_topic, source_partition, event_time, event_type, item_id, propensity_24h))) AS newest
    FROM scores
    WHERE event_type != 'impression' AND event_time < {until_ms:Int64}
    GROUP BY user_id
) AS one
LEFT JOIN
(
    SELECT anonymous_id, max(event_time) AS claimed FROM scores
    WHERE anonymous_id != '' AND event_type != 'impression' AND event_time < {until_ms:Int64} GROUP BY anonymous_id
) AS claims ON claims.anonymous_id = one.user_id
WHERE latest > claims.claimed
COMMENT 'One row per shopper: the score of the event that arrived last, of those that happened before an epoch millisecond, and the latest events; internal, read by latest_scores and top_shoppers, ask as shoppers(until_ms = 9000000000000)'
