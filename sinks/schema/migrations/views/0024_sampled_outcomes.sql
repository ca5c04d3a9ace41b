-- The table is sorted by the hash's first byte, so that the sample is a piece of it, whatever the table's size.
CREATE OR REPLACE VIEW sampled_outcomes
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    event_type LowCardinality(String) COMMENT 'kind of event',
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    propensity Float64 COMMENT 'what the score said',
    purchased UInt8 COMMENT '1 if the shopper bought within the horizon, strictly after the event',
    log_loss Float64 COMMENT 'negative log likelihood, the propensity clipped at 1e-7',
    squared_error Float64 COMMENT 'squared error of the propensity'
) AS
WITH
    (SELECT sampled_hash FROM bounds) AS last_hash,
    least(greatest(propensity, 1e-7), 1 - 1e-7) AS clipped
SELECT
    toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
    event_type,
    model,
    horizon,
    propensity,
    purchased,
    -log(if(purchased, clipped, 1 - clipped)) AS log_loss,
    (propensity - purchased) * (propensity - purchased) AS squared_error
FROM shopper_outcomes
WHERE toUInt8(bitShiftRight(cityHash64(user_id), 56)) <= toUInt8(bitShiftRight(last_hash, 56)) AND cityHash64(user_id) <= last_hash
COMMENT 'Every score of the sampled shoppers whose horizon is over, and what came true: whole histories of the shoppers with the lowest hashes, so many that there are about clickhouse.evaluated_scores scores; internal, read by the views of the evaluation'
