CREATE OR REPLACE VIEW pipeline_by_minute
(
    minute DateTime('UTC') COMMENT 'minute in which the events were scored',
    rows UInt64 COMMENT 'rows scored in it',
    event_to_score_p50_ms Nullable(Float64) COMMENT 'from the event''s Kafka time to its scoring, milliseconds: median; NULL if no Kafka time is known',
    event_to_score_p95_ms Nullable(Float64) COMMENT 'the same: 95 % are faster',
    event_to_score_p99_ms Nullable(Float64) COMMENT 'the same: 99 % are faster',
    event_to_row_p50_ms Nullable(Float64) COMMENT 'from the event''s Kafka time to its row''s insert, milliseconds: median',
    event_to_row_p95_ms Nullable(Float64) COMMENT 'the same: 95 % are faster',
    event_to_row_p99_ms Nullable(Float64) COMMENT 'the same: 99 % are faster'
) AS
SELECT
    minute,
    rows,
    if(timed = 0, NULL, scoring[1]) AS event_to_score_p50_ms,
    if(timed = 0, NULL, scoring[2]) AS event_to_score_p95_ms,
    if(timed = 0, NULL, scoring[3]) AS event_to_score_p99_ms,
    if(timed = 0, NULL, storing[1]) AS event_to_row_p50_ms,
    if(timed = 0, NULL, storing[2]) AS event_to_row_p95_ms,
    if(timed = 0, NULL, storing[3]) AS event_to_row_p99_ms
FROM
(
    SELECT
        toStartOfMinute(fromUnixTimestamp64Milli(scored_at, 'UTC')) AS minute,
        count() AS rows,
        countIf(source_timestamp > 0) AS timed,
        quantilesDDIf(0.005, 0.5, 0.95, 0.99)(toFloat64(scored_at - source_timestamp), source_timestamp > 0) AS scoring,
        quantilesDDIf(0.005, 0.5, 0.95, 0.99)(toFloat64(toUnixTimestamp64Milli(stored_at) - source_timestamp), source_timestamp > 0) AS storing
    FROM scores
    GROUP BY minute
)
COMMENT 'Rows per minute of scoring time (UTC), and how long events took from Kafka to their score and to their row; percentiles are exact to 0.5 % (DDSketch, Masson et al. 2019)'
