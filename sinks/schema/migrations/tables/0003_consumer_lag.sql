-- Several sinks may sample: then there are several samples, each whole and with a time of its own.
CREATE TABLE IF NOT EXISTS consumer_lag
(
    at DateTime64(3, 'UTC') COMMENT 'time of the sample, the same for all its rows' CODEC(Delta, ZSTD(1)),
    consumer_group LowCardinality(String) COMMENT 'the workers'' group or one of the sinks'' groups',
    topic LowCardinality(String) COMMENT 'topic that the group reads',
    partition Int32 COMMENT 'partition of the topic',
    committed Int64 COMMENT 'offset that the group goes on from; -1 if it has committed none' CODEC(Delta, ZSTD(1)),
    end_offset Int64 COMMENT 'offset of the next record that will be written' CODEC(Delta, ZSTD(1)),
    lag Int64 COMMENT 'records that the group has not done: end_offset less committed, or less the first offset that Kafka still has' CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (consumer_group, topic, partition, at)
TTL toDateTime(at, 'UTC') + INTERVAL 7 DAY
COMMENT 'How far consumer groups are behind their topics, sampled every few seconds; kept for 7 days'
