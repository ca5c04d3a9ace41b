CREATE OR REPLACE VIEW outcome_bins
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    event_type LowCardinality(String) COMMENT 'kind of event',
    bin Int16 COMMENT 'the propensity''s logit in steps of 1/8, rounded down; the higher, the likelier',
    scores UInt64 COMMENT 'scores whose horizon has passed',
    purchases UInt64 COMMENT 'those of them that a purchase followed within the horizon',
    sum_propensity Float64 COMMENT 'sum of the propensities',
    sum_log_loss Float64 COMMENT 'sum of the log losses',
    sum_squared_error Float64 COMMENT 'sum of the squared errors'
) AS
SELECT
    toDateTime(hour_number * 3600, 'UTC') AS hour,
    tupleElement(each, 'model') AS model,
    horizon,
    tupleElement(each, 'event_type') AS event_type,
    tupleElement(each, 'bin') AS bin,
    tupleElement(each, 'scores') AS scores,
    tupleElement(each, 'purchases') AS purchases,
    tupleElement(each, 'sum_propensity') AS sum_propensity,
    tupleElement(each, 'sum_log_loss') AS sum_log_loss,
    tupleElement(each, 'sum_squared_error') AS sum_squared_error
FROM (SELECT hour_number, horizon, bins FROM outcome_hours FINAL)
ARRAY JOIN bins AS each
COMMENT 'Scores whose horizon has passed, and what came true of them, per hour of event time (UTC), model version, horizon, event type and bin of the propensity: for calibration, log loss and Brier score of any selection; made every 10 seconds by list_stale_outcomes and make_outcomes'
