CREATE OR REPLACE VIEW dead_letters_by_hour
(
    hour DateTime('UTC') COMMENT 'hour in which the record was refused',
    reason LowCardinality(String) COMMENT 'kind of refusal: json, key, row ...',
    dead_letters UInt64 COMMENT 'refused records',
    example_error String COMMENT 'the latest one''s error, in words'
) AS
SELECT
    toStartOfHour(dead_at) AS hour,
    reason,
    uniqExact(source_topic, source_partition, source_offset) AS dead_letters,
    argMax(error, (dead_at, source_offset)) AS example_error
FROM dead_letters
GROUP BY hour, reason
COMMENT 'Refused records per hour (UTC) and reason'
