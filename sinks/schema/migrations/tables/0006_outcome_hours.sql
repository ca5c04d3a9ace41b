-- One row holds all that is known of an hour and a horizon, so that a newer one replaces it as a whole.
CREATE TABLE IF NOT EXISTS outcome_hours
(
    hour_number Int64 COMMENT 'hour of event time, counted from 1970',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    batch DateTime64(3, 'UTC') COMMENT 'when the list of work was made that this comes from; the latest counts',
    seen Array(UInt64) COMMENT 'checksums of the rows it was made from: for 1h and 24h of the hour and of the purchases that follow; for session of the hour, of it and the next, and so on, and of all that follow',
    depth UInt8 COMMENT 'which of the checksums tells whether it still holds: 5, all that follow, while a session may go on',
    rows UInt64 COMMENT 'rows of the hour',
    end_of_data Int64 COMMENT 'last event of the data, see view data_span, when it was made, epoch milliseconds',
    evaluations Array(Tuple(
        model LowCardinality(String), scores UInt64, purchases UInt64, base_rate Float64, mean_propensity Float64,
        roc_auc Nullable(Float64), pr_auc Nullable(Float64), log_loss Float64, brier Float64, ece Float64,
        lift_1 Nullable(Float64), lift_5 Nullable(Float64), lift_10 Nullable(Float64))) COMMENT 'one a model, see view online_evaluation' CODEC(ZSTD(1)),
    bins Array(Tuple(
        model LowCardinality(String), event_type LowCardinality(String), bin Int16, scores UInt64, purchases UInt64,
        sum_propensity Float64, sum_log_loss Float64, sum_squared_error Float64)) COMMENT 'see view outcome_bins' CODEC(ZSTD(1)),
    entries Array(Tuple(
        model LowCardinality(String), rank Int32, scores UInt64, purchases UInt64, sum_propensity Float64,
        sum_log_loss Float64, sum_squared_error Float64, lower Float64, upper Float64)) COMMENT 'finer bins of the logit, over which hours are added up: rank counts steps of 1/1024; where the hour has more than 300 rows, 16 steps are one bin' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(batch)
ORDER BY (hour_number, horizon)
COMMENT 'What came true of the scores of an hour, per horizon; internal, read by the views of the evaluation'
