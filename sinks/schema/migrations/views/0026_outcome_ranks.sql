-- What the views of the evaluation have in common: scores by falling propensity, in columns of one array each. Equal
-- propensities are one entry. `by_hour` is a parameter: 1 for a row per hour, 0 for one over all hours, whose hour is 1970.
CREATE OR REPLACE VIEW outcome_ranks AS
WITH
entries AS
(
    SELECT
        if({by_hour:UInt8} = 1, hour, toDateTime(0, 'UTC')) AS hour,
        model,
        horizon,
        propensity,
        toFloat64(count()) AS n,
        toFloat64(countIf(purchased)) AS y,
        sum(log_loss) AS l,
        sum(squared_error) AS q
    FROM sampled_outcomes
    GROUP BY hour, model, horizon, propensity
),
columns_of_entries AS
(
    SELECT
        hour,
        model,
        horizon,
        groupArray(propensity) AS unsorted_p,
        arrayReverseSort(unsorted_p) AS each_p,
        arrayReverseSort((n, p) -> p, groupArray(n), unsorted_p) AS each_n,
        arrayReverseSort((y, p) -> p, groupArray(y), unsorted_p) AS each_y,
        arrayMap((p, n) -> p * n, each_p, each_n) AS each_s,
        sum(l) AS losses,
        sum(q) AS squares
    FROM entries
    GROUP BY hour, model, horizon
),
cumulated AS
(
    SELECT *, arrayCumSum(each_n) AS upto_n, arrayCumSum(each_y) AS upto_y, arraySum(each_n) AS total, arraySum(each_y) AS bought
    FROM columns_of_entries
)
SELECT
    hour,
    model,
    horizon,
    each_p,
    each_n,
    each_y,
    each_s,
    upto_n,
    upto_y,
    total,
    bought,
    losses,
    squares,
    arrayMap((upto, own) -> floor(20 * (upto - own / 2) / total), upto_n, each_n) AS twentieths
FROM cumulated
COMMENT 'Per model version and horizon, and per hour if by_hour = 1: propensities of the sampled scores whose horizon has passed, the highest first, with how many there are and how many came true; internal, ask as outcome_ranks(by_hour = 0)'
