CREATE OR REPLACE VIEW evaluation AS
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
    FROM outcome_ranks(by_hour = {by_hour:UInt8})
)
SELECT
    hour,
    model,
    horizon,
    toUInt64(total) AS scores,
    toUInt64(bought) AS purchases,
    bought / total AS base_rate,
    arraySum(each_s) / total AS mean_propensity,
    if(bought = 0 OR bought = total, NULL, arraySum((own_n, own_y, upto) -> (own_n - own_y) * (upto - own_y / 2), each_n, each_y, upto_y) / bought / (total - bought)) AS roc_auc,
    if(bought = 0 OR bought = total, NULL, arraySum((own_y, upto, all) -> own_y * upto / all, each_y, upto_y, upto_n) / bought) AS pr_auc,
    losses / total AS log_loss,
    squares / total AS brier,
    arraySum(d -> abs(d), arrayDifference(arrayPushFront(arrayFilter((d, last) -> last, upto_miss, bin_ends), 0))) / total AS ece,
    if(bought = 0, NULL, (upto_y[at_1] - each_y[at_1] * (upto_n[at_1] - 0.01 * total) / each_n[at_1]) / bought / 0.01) AS lift_1,
    if(bought = 0, NULL, (upto_y[at_5] - each_y[at_5] * (upto_n[at_5] - 0.05 * total) / each_n[at_5]) / bought / 0.05) AS lift_5,
    if(bought = 0, NULL, (upto_y[at_10] - each_y[at_10] * (upto_n[at_10] - 0.1 * total) / each_n[at_10]) / bought / 0.1) AS lift_10
FROM ranked
COMMENT 'How good the propensities turned out, see online_evaluation; internal, ask as evaluation(by_hour = 0)'
