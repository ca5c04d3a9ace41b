CREATE OR REPLACE VIEW online_evaluation_by_model
(
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
WITH
ranked AS
(
    SELECT
        *,
        arrayMap((own, next) -> own != next, twentieths, arrayShiftLeft(twentieths, 1, -1)) AS bin_ends,
        arrayCumSum((own_s, own_y) -> own_s - own_y, each_s, each_y) AS upto_miss,
        arrayFirstIndex(upto -> upto >= 0.01 * total, upto_n) AS at_1,
        arrayFirstIndex(upto -> upto >= 0.05 * total, upto_n) AS at_5,
        arrayFirstIndex(upto -> upto >= 0.1 * total, upto_n) AS at_10
    FROM outcome_ranks
)
SELECT
    model,
    horizon,
    toUInt64(total) AS scores,
    toUInt64(bought) AS purchases,
    bought / total AS base_rate,
    arraySum(each_s) / total AS mean_propensity,
    if(bought = 0 OR bought = total, NULL, arraySum((own_n, own_y, upto) -> (own_n - own_y) * (upto - own_y / 2), each_n, each_y, upto_y) / bought / (total - bought)) AS roc_auc,
    if(bought = 0 OR bought = total, NULL, arraySum((own_n, own_y, upto, all) -> own_y * (upto - own_y / 2 + 0.5) / (all - own_n / 2 + 0.5), each_n, each_y, upto_y, upto_n) / bought) AS pr_auc,
    losses / total AS log_loss,
    squares / total AS brier,
    arraySum(d -> abs(d), arrayDifference(arrayPushFront(arrayFilter((d, last) -> last, upto_miss, bin_ends), 0))) / total AS ece,
    if(bought = 0, NULL, (upto_y[at_1] - each_y[at_1] * (upto_n[at_1] - 0.01 * total) / each_n[at_1]) / bought / 0.01) AS lift_1,
    if(bought = 0, NULL, (upto_y[at_5] - each_y[at_5] * (upto_n[at_5] - 0.05 * total) / each_n[at_5]) / bought / 0.05) AS lift_5,
    if(bought = 0, NULL, (upto_y[at_10] - each_y[at_10] * (upto_n[at_10] - 0.1 * total) / each_n[at_10]) / bought / 0.1) AS lift_10
FROM ranked
COMMENT 'How good the propensities turned out, per model version and horizon, over every kept score whose horizon has passed. Propensities are ordered in bins of at most 1/64 of the logit: AUCs within 0.001 of those of the single scores, sums exact. Definitions as in cartcast evaluate; made every 10 seconds by list_stale_outcomes and make_outcomes'
