-- What three views about what came true have in common: hours added up, the likeliest first, in columns of one array each.
CREATE OR REPLACE VIEW outcome_ranks
(
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    ranks Array(Tuple(Int32, Float64, Float64, Float64, Float64, Float64)) COMMENT 'bins of the logit, the highest first: rank, scores, purchases, sum of propensities, lowest and highest propensity',
    each_n Array(Float64) COMMENT 'scores of each bin',
    each_y Array(Float64) COMMENT 'purchases of each bin',
    each_s Array(Float64) COMMENT 'sum of propensities of each bin',
    upto_n Array(Float64) COMMENT 'scores up to and with each bin',
    upto_y Array(Float64) COMMENT 'purchases up to and with each bin',
    total Float64 COMMENT 'scores',
    bought Float64 COMMENT 'purchases',
    losses Float64 COMMENT 'sum of log losses',
    squares Float64 COMMENT 'sum of squared errors',
    twentieths Array(Float64) COMMENT 'which of 20 bins of about equal counts each bin is in, 0 for the highest'
) AS
WITH
entries AS
(
    SELECT
        tupleElement(each, 'model') AS model,
        horizon,
        tupleElement(each, 'rank') AS rank,
        toFloat64(sum(tupleElement(each, 'scores'))) AS n,
        toFloat64(sum(tupleElement(each, 'purchases'))) AS y,
        sum(tupleElement(each, 'sum_propensity')) AS s,
        sum(tupleElement(each, 'sum_log_loss')) AS l,
        sum(tupleElement(each, 'sum_squared_error')) AS q,
        min(tupleElement(each, 'lower')) AS lowest,
        max(tupleElement(each, 'upper')) AS highest
    FROM (SELECT horizon, entries FROM outcome_hours FINAL)
    ARRAY JOIN entries AS each
    GROUP BY model, horizon, rank
),
ordered AS
(
    SELECT model, horizon, arrayReverseSort(groupArray((rank, n, y, s, lowest, highest))) AS ranks, sum(l) AS losses, sum(q) AS squares
    FROM entries
    GROUP BY model, horizon
),
columns_of_ranks AS
(
    SELECT *, ranks.2 AS each_n, ranks.3 AS each_y, ranks.4 AS each_s
    FROM ordered
),
cumulated AS
(
    SELECT *, arrayCumSum(each_n) AS upto_n, arrayCumSum(each_y) AS upto_y, arraySum(each_n) AS total, arraySum(each_y) AS bought
    FROM columns_of_ranks
),
binned AS
(
    SELECT *, arrayMap((upto, own) -> floor(20 * (upto - own / 2) / total), upto_n, each_n) AS twentieths
    FROM cumulated
)
SELECT model, horizon, ranks, each_n, each_y, each_s, upto_n, upto_y, total, bought, losses, squares, twentieths
FROM binned
COMMENT 'Per model version and horizon: every kept score whose horizon has passed, in bins of the logit from the highest on; internal, read by online_evaluation_by_model, calibration_bins and operating_points'
