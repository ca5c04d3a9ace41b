-- What analysts group by (channel), and what delays are counted from: an event's own time may be that of a replayed
-- history, its record's is not. Rows from before have no channel and no source_timestamp; the default of stored_at
-- looks at the latter, because ClickHouse gives old rows their default when they are read, not now.
ALTER TABLE scores
    ADD COLUMN IF NOT EXISTS channel LowCardinality(String) COMMENT 'where the shopper came from, as the event\'s context says; empty if it does not' AFTER category,
    ADD COLUMN IF NOT EXISTS source_timestamp Int64 DEFAULT 0 COMMENT 'Kafka timestamp of the event\'s record, epoch milliseconds; 0 if unknown' CODEC(Delta, ZSTD(1)) AFTER source_offset,
    ADD COLUMN IF NOT EXISTS stored_at DateTime64(3, 'UTC') DEFAULT if(source_timestamp > 0, now64(3, 'UTC'), toDateTime64(0, 3, 'UTC')) COMMENT 'when the row was inserted; 1970 if unknown' CODEC(Delta, ZSTD(1)) AFTER scored_at
