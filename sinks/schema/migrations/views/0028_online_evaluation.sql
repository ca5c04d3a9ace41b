CREATE OR REPLACE VIEW online_evaluation
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    scores UInt64 COMMENT 'scores whose horizon has passed',
    purchases UInt64 COMMENT 'those of them that a purchase followed within the horizon',
    base_rate Float64 COMMENT 'purchases / scores',
    mean_propensity Float64 COMMENT 'mean of the scores'' propensities; equal to base_rate if they are right on average',
    roc_auc Nullable(Float64) COMMENT 'area under the ROC curve; NULL without both outcomes',
    pr_auc Nullable(Float64) COMMENT 'area under precision over recall (average precision); NULL without both outcomes',
    log_loss Float64 COMMENT 'mean negative log likelihood, propensities clipped at 1e-7',
    brier Float64 COMMENT 'mean squared error of the propensities',
    ece Float64 COMMENT 'expected calibration error: mean distance of mean propensity and purchase rate over 20 bins of about equal counts',
    lift_1 Nullable(Float64) COMMENT 'purchase rate of the 1 % of scores with the highest propensities, over base_rate; NULL without a purchase',
    lift_5 Nullable(Float64) COMMENT 'the same of the highest 5 %',
    lift_10 Nullable(Float64) COMMENT 'the same of the highest 10 %'
) AS
SELECT *
FROM evaluation(by_hour = 1)
COMMENT 'How good the propensities of an hour (event time, UTC) turned out, per model version and horizon, over the scores of the sampled shoppers (clickhouse.evaluated_scores) whose horizon has passed: for session, that the session is over. A purchase counts if it is strictly later than the event. Definitions as in cartcast evaluate'
