-- One row per recommendation. The names are those of the JSON of their topic, so that its bytes are inserted as they are;
-- the key, the tokens and the sharding are those of the scores.
CREATE TABLE IF NOT EXISTS recommendations
(
    user_id String COMMENT 'the shopper' CODEC(ZSTD(1)),
    event_id String COMMENT 'the event that triggered it, unique for its shopper' CODEC(ZSTD(1)),
    event_type LowCardinality(String) COMMENT 'its type, as the shop calls it',
    event_time Int64 COMMENT 'when it happened, epoch milliseconds; event_at is the same as a time' CODEC(Delta, ZSTD(1)),
    goal LowCardinality(String) COMMENT 'what the shopper should do next with an item: view, cart or purchase',
    model LowCardinality(String) COMMENT 'version of the model that recommended',
    items Array(Tuple(
        item_id String,
        score Float32,
        title Nullable(String),
        category Nullable(String),
        price Nullable(Float64),
        why Array(Tuple(
            kind String,
            event Tuple(event_time Int64, type String, event_hash String),
            item_id Nullable(String),
            title Nullable(String),
            contribution Nullable(Float32))))) COMMENT 'the likeliest first; why: kind event, popular or new, and for an event which one and by how much it raised the score' CODEC(ZSTD(1)),
    source_topic LowCardinality(String) COMMENT 'topic of the event',
    source_partition Int32 DEFAULT -1 COMMENT 'partition of the event' CODEC(Delta, ZSTD(1)),
    source_offset Int64 DEFAULT -1 COMMENT 'offset of the event' CODEC(Delta, ZSTD(1)),
    source_timestamp Int64 DEFAULT 0 COMMENT 'Kafka timestamp of the event\'s record, epoch milliseconds; 0 if unknown' CODEC(Delta, ZSTD(1)),
    recommended_at Int64 COMMENT 'when it was made, epoch milliseconds; recommended_at_time is the same as a time' CODEC(Delta, ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was inserted' CODEC(Delta, ZSTD(1)),
    event_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(event_time, 'UTC') COMMENT 'event_time as a time',
    recommended_at_time DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(recommended_at, 'UTC') COMMENT 'recommended_at as a time',
    CONSTRAINT user_id CHECK user_id != '',
    CONSTRAINT event_id CHECK event_id != '',
    CONSTRAINT event_type CHECK event_type != '',
    CONSTRAINT event_time CHECK event_time BETWEEN 946684800000 AND 4102444800000,
    CONSTRAINT recommended_at CHECK recommended_at BETWEEN 946684800000 AND 4102444800000,
    CONSTRAINT source_topic CHECK source_topic != '',
    CONSTRAINT source_partition CHECK source_partition >= 0,
    CONSTRAINT source_offset CHECK source_offset >= 0,
    PROJECTION by_source
    (
        SELECT
            source_topic,
            source_partition,
            max(source_offset)
        GROUP BY source_topic, source_partition
    )
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(recommended_at, 'UTC'))
ORDER BY (toUInt8(bitShiftRight(cityHash64(user_id), 56)), user_id, event_time, source_topic, source_partition, source_offset)
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000,
    deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'One row per event at which items were recommended, if workers recommend on the topic'
