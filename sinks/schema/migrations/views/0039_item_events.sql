CREATE OR REPLACE VIEW item_events
(
    event_time Int64 COMMENT 'when it happened, epoch milliseconds',
    shopper_hash UInt64 COMMENT 'cityHash64 of the shopper: a condition on it and on its first byte reads a sample of shoppers alone',
    item_id String COMMENT 'the item',
    category LowCardinality(String) COMMENT 'category of the event; empty if it has none',
    event_type LowCardinality(String) COMMENT 'kind of event',
    propensity_session Float32 COMMENT 'probability of a purchase later in this session; NaN if the model has no such horizon',
    propensity_1h Float32 COMMENT 'probability of a purchase within 1 hour after the event',
    propensity_24h Float32 COMMENT 'probability of a purchase within 24 hours after the event'
) AS
SELECT
    event_time,
    cityHash64(user_id) AS shopper_hash,
    item_id,
    category,
    event_type,
    propensity_session,
    propensity_1h,
    propensity_24h
FROM scores
WHERE item_id != '' AND event_type != 'impression'
COMMENT 'The events that are about an item, one row each'
