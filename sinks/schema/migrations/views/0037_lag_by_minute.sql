CREATE OR REPLACE VIEW lag_by_minute
(
    minute DateTime('UTC') COMMENT 'minute of the samples',
    consumer_group LowCardinality(String) COMMENT 'the workers'' group or one of the sinks'' groups',
    topic LowCardinality(String) COMMENT 'topic that the group reads',
    lag Int64 COMMENT 'records behind, all partitions together: the largest of the minute''s samples'
) AS
SELECT
    toStartOfMinute(at) AS minute,
    consumer_group,
    topic,
    max(lag) AS lag
FROM
(
    SELECT at, consumer_group, topic, sum(lag) AS lag
    FROM consumer_lag
    GROUP BY at, consumer_group, topic
)
GROUP BY minute, consumer_group, topic
COMMENT 'How far consumer groups were behind, per minute (UTC) and topic'
