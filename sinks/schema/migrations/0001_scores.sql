-- One row per accepted event. The names are those of the scores topic's JSON, so that its bytes are inserted as they are.
-- Full source coordinates in the sorting key: should a row ever be inserted twice, a merge removes the second.
-- Partitioned by time of scoring, because a late block of old events must not touch more than a hundred partitions.
-- Each inserted block has a token; the window is how many of them the table remembers.
CREATE TABLE IF NOT EXISTS scores
(
    user_id String COMMENT 'the shopper' CODEC(ZSTD(1)),
    event_id String COMMENT 'the event, unique for its shopper' CODEC(ZSTD(1)),
    event_type LowCardinality(String) COMMENT 'view, search, favorite, cart, remove_from_cart, checkout, purchase, review, refund or other',
    item_id String COMMENT 'empty if the event has none' CODEC(ZSTD(1)),
    category LowCardinality(String) COMMENT 'empty if the event has none',
    price Nullable(Float64) COMMENT 'per unit; NULL if the event has none, so that an average leaves it out' CODEC(ZSTD(1)),
    event_time Int64 COMMENT 'when it happened, epoch milliseconds; event_at is the same as a time' CODEC(Delta, ZSTD(1)),
    propensity_session Float32 DEFAULT nan COMMENT 'probability of a purchase later in this session (gap 30 minutes)' CODEC(ZSTD(1)),
    propensity_1h Float32 DEFAULT nan COMMENT 'probability of a purchase within 1 hour after the event' CODEC(ZSTD(1)),
    propensity_24h Float32 DEFAULT nan COMMENT 'probability of a purchase within 24 hours after the event' CODEC(ZSTD(1)),
    model LowCardinality(String) COMMENT 'version of the model that scored it',
    source_topic LowCardinality(String) COMMENT 'topic of the event',
    source_partition Int32 DEFAULT -1 COMMENT 'partition of the event' CODEC(Delta, ZSTD(1)),
    source_offset Int64 DEFAULT -1 COMMENT 'offset of the event' CODEC(Delta, ZSTD(1)),
    scored_at Int64 COMMENT 'when it was scored, epoch milliseconds; scored_at_time is the same as a time' CODEC(Delta, ZSTD(1)),
    event_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(event_time, 'UTC') COMMENT 'event_time as a time',
    scored_at_time DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(scored_at, 'UTC') COMMENT 'scored_at as a time',
    CONSTRAINT user_id CHECK user_id != '',
    CONSTRAINT event_id CHECK event_id != '',
    CONSTRAINT event_type CHECK event_type != '',
    CONSTRAINT event_time CHECK event_time BETWEEN 946684800000 AND 4102444800000,
    CONSTRAINT scored_at CHECK scored_at BETWEEN 946684800000 AND 4102444800000,
    CONSTRAINT propensity_session CHECK propensity_session BETWEEN 0 AND 1,
    CONSTRAINT propensity_1h CHECK propensity_1h BETWEEN 0 AND 1,
    CONSTRAINT propensity_24h CHECK propensity_24h BETWEEN 0 AND 1,
    CONSTRAINT model CHECK model != '',
    CONSTRAINT source_topic CHECK source_topic != '',
    CONSTRAINT source_partition CHECK source_partition >= 0,
    CONSTRAINT source_offset CHECK source_offset >= 0
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(scored_at, 'UTC'))
ORDER BY (user_id, event_time, source_topic, source_partition, source_offset)
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000
COMMENT 'One row per accepted event with its propensities; read the views instead where one fits'
