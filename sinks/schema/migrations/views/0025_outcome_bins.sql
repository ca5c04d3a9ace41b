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
WITH least(greatest(propensity, 1e-7), 1 - 1e-7) AS clipped
SELECT
    hour,
    model,
    horizon,
    event_type,
    toInt16(floor(8 * log(clipped / (1 - clipped)))) AS bin,
    count() AS scores,
    countIf(purchased) AS purchases,
    sum(propensity) AS sum_propensity,
    sum(log_loss) AS sum_log_loss,
    sum(squared_error) AS sum_squared_error
FROM sampled_outcomes
GROUP BY hour, model, horizon, event_type, bin
COMMENT 'Scores whose horizon has passed, and what came true of them, per hour of event time (UTC), model version, horizon, event type and bin of the propensity, of the sampled shoppers (clickhouse.evaluated_scores): for calibration, log loss and Brier score of any selection'
