-- Filled by list_stale_outcomes, read by make_outcomes: two steps, so that what an hour's outcomes are said to be made
-- from was there before they were made. A row that arrives in between makes the hour stale, never wrong for good.
CREATE TABLE IF NOT EXISTS outcome_work
(
    batch DateTime64(3, 'UTC') COMMENT 'when the list was made; make_outcomes takes the latest list',
    hour_number Int64 COMMENT 'hour of event time, counted from 1970',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    seen Array(UInt64) COMMENT 'checksums of the rows that the outcomes depend on, see outcome_hours',
    rows UInt64 COMMENT 'rows of the hour',
    end_of_data Int64 COMMENT 'last event of the data, see view data_span, when the list was made, epoch milliseconds'
)
ENGINE = MergeTree
ORDER BY (batch, hour_number, horizon)
TTL toDateTime(batch, 'UTC') + INTERVAL 1 HOUR
COMMENT 'Hours whose outcomes are to be made (again); internal, kept for an hour'
