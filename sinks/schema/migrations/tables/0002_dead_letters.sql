-- One row per refused record. At-least-once on the way here, one row by the key: read with FINAL, or with LIMIT 1 BY the
-- key, and no unmerged repeat counts. No de-duplication by block: what a killed engine wrote of a block is simply sent
-- again. The refused value stays in Kafka, where letter_partition and letter_offset find it.
CREATE TABLE IF NOT EXISTS dead_letters
(
    source_topic LowCardinality(String) COMMENT 'topic of the refused record; the dead-letter topic itself if the dead letter does not say where it came from',
    source_partition Int32 COMMENT 'partition of the refused record',
    source_offset Int64 COMMENT 'offset of the refused record' CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String) COMMENT 'kind of refusal: json, key, row ...; headers if the dead letter does not say where it came from',
    error String COMMENT 'what is wrong, in words; no value of the record' CODEC(ZSTD(1)),
    value_bytes UInt32 COMMENT 'size of the refused value' CODEC(ZSTD(1)),
    dead_at DateTime64(3, 'UTC') COMMENT 'Kafka time of the dead letter' CODEC(Delta, ZSTD(1)),
    letter_partition Int32 COMMENT 'partition of the dead letter in the dead-letter topic: the value is there',
    letter_offset Int64 COMMENT 'offset of the dead letter in the dead-letter topic' CODEC(Delta, ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'time of the insert' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (source_topic, source_partition, source_offset)
COMMENT 'One row per record that was refused, by the worker or by the sink, with the reason; read with FINAL'
