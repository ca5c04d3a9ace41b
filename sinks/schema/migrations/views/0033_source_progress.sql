CREATE OR REPLACE VIEW source_progress
(
    source_topic LowCardinality(String) COMMENT 'topic of the events',
    source_partition Int32 COMMENT 'its partition',
    first_offset Int64 COMMENT 'lowest offset that a row or a dead letter comes from',
    last_offset Int64 COMMENT 'highest offset that a row or a dead letter comes from',
    rows UInt64 COMMENT 'rows of the table that come from it',
    dead_letters UInt64 COMMENT 'dead letters that come from it',
    duplicates Int64 COMMENT 'offsets in between that are neither: events whose event id their shopper had already sent; offsets that Kafka skips and rows not stored yet count as well'
) AS
SELECT
    source_topic,
    source_partition,
    min(lowest) AS first_offset,
    max(highest) AS last_offset,
    sum(stored) AS rows,
    sum(refused) AS dead_letters,
    greatest(last_offset - first_offset + 1 - toInt64(rows) - toInt64(dead_letters), 0) AS duplicates
FROM
(
    SELECT source_topic, source_partition, min(source_offset) AS lowest, max(source_offset) AS highest, count() AS stored, toUInt64(0) AS refused
    FROM scores
    GROUP BY source_topic, source_partition
    UNION ALL
    SELECT source_topic, source_partition, min(source_offset), max(source_offset), toUInt64(0), uniqExact(source_offset)
    FROM dead_letters
    WHERE source_topic IN (SELECT source_topic FROM scores GROUP BY source_topic)
    GROUP BY source_topic, source_partition
)
GROUP BY source_topic, source_partition
COMMENT 'How far each partition of the events topic has come: what became rows, dead letters and duplicates'
