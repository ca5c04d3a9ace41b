CREATE OR REPLACE VIEW operating_points
(
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    threshold Float64 COMMENT 'lowest propensity that is taken for a purchase',
    recall Nullable(Float64) COMMENT 'share of the purchases found: y of ROC and gain curve, x of the PR curve; NULL without a purchase',
    precision Float64 COMMENT 'share of purchases among the scores from threshold on: y of the PR curve',
    false_positive_rate Nullable(Float64) COMMENT 'share of the others that are taken for a purchase: x of the ROC curve; NULL if every score was followed by a purchase',
    share Float64 COMMENT 'share of the scores from threshold on: x of the gain curve'
) AS
WITH
points AS
(
    SELECT
        *,
        arrayMap((own, next) -> floor(200 * own / total) != floor(200 * next / total), upto_n, arrayShiftLeft(upto_n, 1, -1)) AS shown
    FROM outcome_ranks(by_hour = 0)
)
SELECT
    model,
    horizon,
    each.1 AS threshold,
    if(bought = 0, NULL, each.3 / bought) AS recall,
    each.3 / each.2 AS precision,
    if(bought = total, NULL, (each.2 - each.3) / (total - bought)) AS false_positive_rate,
    each.2 / total AS share
FROM points
ARRAY JOIN arrayFilter((point, is_shown) -> is_shown, arrayZip(each_p, upto_n, upto_y), shown) AS each
COMMENT 'Points of the PR, ROC and gain curves per model version and horizon, at about 200 thresholds, of the sampled shoppers (clickhouse.evaluated_scores)'
