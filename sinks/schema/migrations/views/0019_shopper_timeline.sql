CREATE OR REPLACE VIEW shopper_timeline
(
    user_id String COMMENT 'the shopper: ask for one, WHERE user_id = ...',
    event_at DateTime64(3, 'UTC') COMMENT 'when the event happened',
    event_id String COMMENT 'the event',
    event_type LowCardinality(String) COMMENT 'kind of event',
    item_id String COMMENT 'empty if the event has none',
    category LowCardinality(String) COMMENT 'empty if the event has none',
    channel LowCardinality(String) COMMENT 'empty if the event does not say',
    price Nullable(Float64) COMMENT 'per unit; NULL if the event has none',
    propensity_session Float32 COMMENT 'probability of a purchase later in this session; NaN if the model has no such horizon',
    propensity_1h Float32 COMMENT 'probability of a purchase within 1 hour after the event',
    propensity_24h Float32 COMMENT 'probability of a purchase within 24 hours after the event',
    model LowCardinality(String) COMMENT 'version of the model that scored it',
    scored_at DateTime64(3, 'UTC') COMMENT 'when it was scored',
    stored_at DateTime64(3, 'UTC') COMMENT 'when the row was inserted; 1970 if unknown',
    source_topic LowCardinality(String) COMMENT 'topic of the event',
    source_partition Int32 COMMENT 'partition of the event',
    source_offset Int64 COMMENT 'offset of the event'
) AS
SELECT
    user_id,
    event_at,
    event_id,
    event_type,
    item_id,
    category,
    channel,
    price,
    propensity_session,
    propensity_1h,
    propensity_24h,
    model,
    scored_at_time AS scored_at,
    stored_at,
    source_topic,
    source_partition,
    source_offset
FROM scores
LIMIT 1 BY user_id, event_time, source_topic, source_partition, source_offset
COMMENT 'The events of a shopper with their propensities, each once; fast for WHERE user_id = ...'
