CREATE OR REPLACE VIEW lag_now
(
    consumer_group LowCardinality(String) COMMENT 'the workers'' group or one of the sinks'' groups',
    topic LowCardinality(String) COMMENT 'topic that the group reads',
    partition Int32 COMMENT 'partition of the topic',
    committed Int64 COMMENT 'offset that the group goes on from; -1 if it has committed none',
    end_offset Int64 COMMENT 'offset of the next record that will be written',
    lag Int64 COMMENT 'records that the group has not done',
    at DateTime64(3, 'UTC') COMMENT 'when it was sampled'
) AS
SELECT
    consumer_group,
    topic,
    partition,
    tupleElement(latest, 1) AS committed,
    tupleElement(latest, 2) AS end_offset,
    tupleElement(latest, 3) AS lag,
    at
FROM
(
    SELECT consumer_group, topic, partition, argMax((committed, end_offset, lag), consumer_lag.at) AS latest, max(consumer_lag.at) AS at
    FROM consumer_lag
    WHERE consumer_lag.at >= now64(3) - INTERVAL 7 DAY
    GROUP BY consumer_group, topic, partition
)
COMMENT 'The latest sample of how far each consumer group is behind, per partition; look at column at: without a running sink nothing is sampled'
