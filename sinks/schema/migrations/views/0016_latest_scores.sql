CREATE OR REPLACE VIEW latest_scores
(
    user_id String COMMENT 'the shopper',
    event_at DateTime64(3, 'UTC') COMMENT 'when the latest event happened',
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
    segment LowCardinality(String) COMMENT 'high, medium or low by propensity_24h (bounds: view bounds); unknown if the model has no such horizon',
    events UInt64 COMMENT 'how many events of the shopper are kept'
) AS
SELECT * EXCEPT last_events
FROM shoppers(until_ms = 9000000000000)
COMMENT 'One row per shopper: the latest score, what is at stake, and the segment; order by a propensity for the likeliest buyers. Latest is the event that arrived last, whenever it happened, as in the look-ups of the worker: its score knows of all others'
