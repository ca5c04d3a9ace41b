CREATE OR REPLACE VIEW recent_dead_letters
(
    dead_at DateTime64(3, 'UTC') COMMENT 'when the record was refused',
    source_topic LowCardinality(String) COMMENT 'topic of the refused record',
    source_partition Int32 COMMENT 'partition of the refused record',
    source_offset Int64 COMMENT 'offset of the refused record',
    reason LowCardinality(String) COMMENT 'kind of refusal: json, key, row ...',
    error String COMMENT 'what is wrong, in words; no value of the record',
    value_bytes UInt32 COMMENT 'size of the refused value',
    letter_partition Int32 COMMENT 'partition of the dead letter in the dead-letter topic: the value is there',
    letter_offset Int64 COMMENT 'offset of the dead letter in the dead-letter topic'
) AS
SELECT dead_at, source_topic, source_partition, source_offset, reason, error, value_bytes, letter_partition, letter_offset
FROM dead_letters
ORDER BY dead_at DESC, source_topic, source_partition, source_offset
LIMIT 1 BY source_topic, source_partition, source_offset
LIMIT 1000
COMMENT 'The last 1,000 refused records, the newest first'
