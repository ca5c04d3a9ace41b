CREATE OR REPLACE VIEW shopper_events
(
    event_time Int64 COMMENT 'when it happened, epoch milliseconds',
    shopper_hash UInt64 COMMENT 'cityHash64 of the shopper: a condition on it and on its first byte reads a sample of shoppers alone',
    event_type LowCardinality(String) COMMENT 'kind of event',
    category LowCardinality(String) COMMENT 'category of the event; empty if it has none',
    channel LowCardinality(String) COMMENT 'where the shopper came from; empty if the event does not say',
    price Nullable(Float64) COMMENT 'per unit; NULL if the event has none',
    propensity_24h Float32 COMMENT 'probability of a purchase within 24 hours after the event; NaN if the model has no such horizon'
) AS
SELECT
    event_time,
    cityHash64(user_id) AS shopper_hash,
    event_type,
    category,
    channel,
    price,
    propensity_24h
FROM scores
WHERE event_type != 'impression'
COMMENT 'What shoppers did, one row per event, without who they are: for funnels, cohorts and the drift of inputs'
