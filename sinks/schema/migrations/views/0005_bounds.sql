CREATE OR REPLACE VIEW bounds
(
    segment_high Float64 COMMENT 'propensity_24h from which a shopper is in segment high',
    segment_medium Float64 COMMENT 'propensity_24h from which a shopper is in segment medium',
    drift_reference_from Nullable(DateTime('UTC')) COMMENT 'first hour of the drift''s reference period; NULL: the first 24 hours of each model',
    drift_reference_to Nullable(DateTime('UTC')) COMMENT 'end of the drift''s reference period, not part of it',
    sampled_hash UInt64 COMMENT 'shoppers whose cityHash64 is at most this are the sample that outcomes are made of'
) AS
WITH
    toFloat64OrDefault(argMaxIf(value, changed_at, name = 'evaluated_scores'), 250000.) / greatest((SELECT count() FROM scores), 1) AS sampled_share
SELECT
    toFloat64OrDefault(argMaxIf(value, changed_at, name = 'segment_high'), 0.3) AS segment_high,
    toFloat64OrDefault(argMaxIf(value, changed_at, name = 'segment_medium'), 0.1) AS segment_medium,
    parseDateTimeBestEffortOrNull(argMaxIf(value, changed_at, name = 'drift_reference_from'), 'UTC') AS drift_reference_from,
    parseDateTimeBestEffortOrNull(argMaxIf(value, changed_at, name = 'drift_reference_to'), 'UTC') AS drift_reference_to,
    if(sampled_share < 1, toUInt64(sampled_share * 18446744073709551615), 18446744073709551615) AS sampled_hash
FROM view_settings
COMMENT 'One row: the settings that the views use, with their defaults where none was written'
