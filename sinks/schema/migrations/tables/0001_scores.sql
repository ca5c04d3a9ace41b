-- One row per accepted event. The names are those of the scores topic's JSON, so that its bytes are inserted as they are.
-- Full source coordinates in the sorting key: should a row ever be inserted twice, a merge removes the second.
-- Partitioned by time of scoring, because a late block of old events must not touch more than a hundred partitions.
-- Each inserted block has a token; the window is how many of them the table remembers.
-- A propensity that a score lacks, because its model has no such horizon, is NaN; every view keeps models apart.
-- A shift is how far the level correction moved that propensity's log-odds: what the model itself said can be told.
-- An impression is a row without propensities: views of events count it as a type, views of shoppers leave it out.
-- stored_at is what delays are counted to: an event's own time may be that of a replayed history, its record's is not.
--
-- Sorted by shopper, and shoppers by the first byte of their hash: a sample of shoppers is the table's beginning, whatever
-- its size (view sampled_outcomes), and one shopper is looked for in at most 256 places.
--
-- Projections are small aggregates that pages ask for every few seconds, kept by the engine in each part of the table: a
-- block that is refused, doubled, merged or dropped takes its aggregates with it ('rebuild': also rows that a merge or a
-- DELETE removes). A view uses one by asking in the same words. Everything else is made of the rows when it is asked.
CREATE TABLE IF NOT EXISTS scores
(
    user_id String COMMENT 'the shopper' CODEC(ZSTD(1)),
    event_id String COMMENT 'the event, unique for its shopper' CODEC(ZSTD(1)),
    event_type LowCardinality(String) COMMENT 'view, search, favorite, cart, remove_from_cart, checkout, purchase, review, refund or other; impression: what was shown',
    item_id String COMMENT 'empty if the event has none' CODEC(ZSTD(1)),
    category LowCardinality(String) COMMENT 'empty if the event has none',
    channel LowCardinality(String) COMMENT 'where the shopper came from, as the event\'s context says; empty if it does not',
    price Nullable(Float64) COMMENT 'per unit; NULL if the event has none, so that an average leaves it out' CODEC(ZSTD(1)),
    quantity Nullable(Float64) COMMENT 'units; NULL if the event has none' CODEC(ZSTD(1)),
    rating Nullable(Float64) COMMENT 'stars of a review; NULL if the event has none' CODEC(ZSTD(1)),
    text String COMMENT 'what the shopper wrote or searched for, its first 2,000 characters; empty if the event has none' CODEC(ZSTD(1)),
    anonymous_id String COMMENT 'under which id the shopper was known before, as the event says; empty if it does not' CODEC(ZSTD(1)),
    shown Array(String) COMMENT 'of an impression the items, in the order shown; empty of other events' CODEC(ZSTD(1)),
    shown_by LowCardinality(String) COMMENT 'of an impression the model or rule that made the list; empty if it does not say',
    placement LowCardinality(String) COMMENT 'of an impression where the list was shown; empty if it does not say',
    event_time Int64 COMMENT 'when it happened, epoch milliseconds; event_at is the same as a time' CODEC(Delta, ZSTD(1)),
    propensity_session Float32 DEFAULT nan COMMENT 'probability of a purchase later in this session (gap 30 minutes)' CODEC(ZSTD(1)),
    propensity_1h Float32 DEFAULT nan COMMENT 'probability of a purchase within 1 hour after the event' CODEC(ZSTD(1)),
    propensity_24h Float32 DEFAULT nan COMMENT 'probability of a purchase within 24 hours after the event' CODEC(ZSTD(1)),
    shift_session Float32 DEFAULT 0 COMMENT 'how far the level correction moved the log-odds of propensity_session; 0 without one' CODEC(ZSTD(1)),
    shift_1h Float32 DEFAULT 0 COMMENT 'how far the level correction moved the log-odds of propensity_1h; 0 without one' CODEC(ZSTD(1)),
    shift_24h Float32 DEFAULT 0 COMMENT 'how far the level correction moved the log-odds of propensity_24h; 0 without one' CODEC(ZSTD(1)),
    model LowCardinality(String) COMMENT 'version of the model that scored it',
    source_topic LowCardinality(String) COMMENT 'topic of the event',
    source_partition Int32 DEFAULT -1 COMMENT 'partition of the event' CODEC(Delta, ZSTD(1)),
    source_offset Int64 DEFAULT -1 COMMENT 'offset of the event' CODEC(Delta, ZSTD(1)),
    source_timestamp Int64 DEFAULT 0 COMMENT 'Kafka timestamp of the event\'s record, epoch milliseconds; 0 if unknown' CODEC(Delta, ZSTD(1)),
    scored_at Int64 COMMENT 'when it was scored, epoch milliseconds; scored_at_time is the same as a time' CODEC(Delta, ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT if(source_timestamp > 0, now64(3, 'UTC'), toDateTime64(0, 3, 'UTC')) COMMENT 'when the row was inserted; 1970 if unknown' CODEC(Delta, ZSTD(1)),
    event_at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(event_time, 'UTC') COMMENT 'event_time as a time',
    scored_at_time DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(scored_at, 'UTC') COMMENT 'scored_at as a time',
    CONSTRAINT user_id CHECK user_id != '',
    CONSTRAINT event_id CHECK event_id != '',
    CONSTRAINT event_type CHECK event_type != '',
    CONSTRAINT event_time CHECK event_time BETWEEN 946684800000 AND 4102444800000,
    CONSTRAINT scored_at CHECK scored_at BETWEEN 946684800000 AND 4102444800000,
    CONSTRAINT propensity_session CHECK isNaN(propensity_session) OR propensity_session BETWEEN 0 AND 1,
    CONSTRAINT propensity_1h CHECK isNaN(propensity_1h) OR propensity_1h BETWEEN 0 AND 1,
    CONSTRAINT propensity_24h CHECK isNaN(propensity_24h) OR propensity_24h BETWEEN 0 AND 1,
    CONSTRAINT model CHECK model != '',
    CONSTRAINT source_topic CHECK source_topic != '',
    CONSTRAINT source_partition CHECK source_partition >= 0,
    CONSTRAINT source_offset CHECK source_offset >= 0,
    PROJECTION by_hour
    (
        SELECT
            toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')),
            event_type,
            channel,
            model,
            count(),
            min(event_time),
            max(event_time),
            sum(toFloat64(ifNotFinite(propensity_session, 0))),
            sum(toFloat64(ifNotFinite(propensity_1h, 0))),
            sum(toFloat64(ifNotFinite(propensity_24h, 0))),
            sum(isFinite(propensity_session)),
            sum(isFinite(propensity_1h)),
            sum(isFinite(propensity_24h)),
            countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_session), least(floor(toFloat64(propensity_session) * 20), 19), 255))),
            countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_1h), least(floor(toFloat64(propensity_1h) * 20), 19), 255))),
            countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_24h), least(floor(toFloat64(propensity_24h) * 20), 19), 255))),
            countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_session), least(greatest(floor((log(toFloat64(propensity_session)) - log1p(-toFloat64(propensity_session))) * 4) + 28, 0), 39), 255))),
            countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_1h), least(greatest(floor((log(toFloat64(propensity_1h)) - log1p(-toFloat64(propensity_1h))) * 4) + 28, 0), 39), 255))),
            countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_24h), least(greatest(floor((log(toFloat64(propensity_24h)) - log1p(-toFloat64(propensity_24h))) * 4) + 28, 0), 39), 255)))
        GROUP BY toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')), event_type, channel, model
    ),
    PROJECTION by_minute
    (
        SELECT
            toStartOfMinute(fromUnixTimestamp64Milli(event_time, 'UTC')),
            event_type,
            count()
        GROUP BY toStartOfMinute(fromUnixTimestamp64Milli(event_time, 'UTC')), event_type
    ),
    PROJECTION by_scoring_minute
    (
        SELECT
            toStartOfMinute(fromUnixTimestamp64Milli(scored_at, 'UTC')),
            count(),
            countIf(source_timestamp > 0),
            quantilesDDIf(0.005, 0.5, 0.95, 0.99)(toFloat64(scored_at - source_timestamp), source_timestamp > 0),
            quantilesDDIf(0.005, 0.5, 0.95, 0.99)(toFloat64(toUnixTimestamp64Milli(stored_at) - source_timestamp), source_timestamp > 0)
        GROUP BY toStartOfMinute(fromUnixTimestamp64Milli(scored_at, 'UTC'))
    ),
    PROJECTION by_source
    (
        SELECT
            source_topic,
            source_partition,
            min(source_offset),
            max(source_offset),
            count()
        GROUP BY source_topic, source_partition
    )
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(scored_at, 'UTC'))
ORDER BY (toUInt8(bitShiftRight(cityHash64(user_id), 56)), user_id, event_time, source_topic, source_partition, source_offset)
SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000,
    deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'One row per accepted event with its propensities; read the views instead where one fits'
