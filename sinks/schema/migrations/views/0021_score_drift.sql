CREATE OR REPLACE VIEW score_drift
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    scores UInt64 COMMENT 'scores in this hour',
    psi Nullable(Float64) COMMENT 'population stability index against the reference: sum over 20 bins, each 0.5 of the logit wide, of (p - q) ln(p / q); below 0.1 stable, above 0.25 shifted; chance alone gives about 19 / scores',
    ks Nullable(Float64) COMMENT 'Kolmogorov-Smirnov distance, over 40 bins of 0.25 of the logit: the largest difference of the cumulative shares, 0 to 1',
    reference_from Nullable(DateTime('UTC')) COMMENT 'first hour of the reference period',
    reference_to Nullable(DateTime('UTC')) COMMENT 'end of the reference period, not part of it'
) AS
WITH
    (SELECT (drift_reference_from, drift_reference_to) FROM bounds) AS setting,
    histograms AS
    (
        SELECT hour, model, tupleElement(each, 1) AS horizon, tupleElement(each, 2) AS counts
        FROM
        (
            SELECT
                toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
                model,
                countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_session), least(greatest(floor((log(toFloat64(propensity_session)) - log1p(-toFloat64(propensity_session))) * 4) + 28, 0), 39), 255))) AS counts_session,
                countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_1h), least(greatest(floor((log(toFloat64(propensity_1h)) - log1p(-toFloat64(propensity_1h))) * 4) + 28, 0), 39), 255))) AS counts_1h,
                countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_24h), least(greatest(floor((log(toFloat64(propensity_24h)) - log1p(-toFloat64(propensity_24h))) * 4) + 28, 0), 39), 255))) AS counts_24h
            FROM scores AS stored
            GROUP BY hour, model
        )
        ARRAY JOIN [('session', counts_session), ('1h', counts_1h), ('24h', counts_24h)] AS each
        WHERE arraySum(counts) > 0
    ),
    periods AS
    (
        SELECT
            model,
            horizon,
            ifNull(setting.1, min(hour)) AS reference_from,
            ifNull(setting.2, if(setting.1 IS NULL, min(hour), assumeNotNull(setting.1)) + INTERVAL 24 HOUR) AS reference_to
        FROM histograms
        GROUP BY model, horizon
    ),
    reference AS
    (
        SELECT
            model,
            horizon,
            any(reference_from) AS since,
            any(reference_to) AS until,
            sumForEachIf(counts, hour >= reference_from AND hour < reference_to) AS counts
        FROM histograms
        INNER JOIN periods USING (model, horizon)
        GROUP BY model, horizon
    )
SELECT
    h.hour AS hour,
    h.model AS model,
    h.horizon AS horizon,
    arraySum(h.counts) AS scores,
    if(arraySum(r.counts) = 0, NULL, arraySum(
        (n, m) -> ((n + 0.5) / (scores + 10) - (m + 0.5) / (arraySum(r.counts) + 10)) * log(((n + 0.5) / (scores + 10)) / ((m + 0.5) / (arraySum(r.counts) + 10))),
        arrayMap(bin -> h.counts[2 * bin + 1] + h.counts[2 * bin + 2], range(20)),
        arrayMap(bin -> r.counts[2 * bin + 1] + r.counts[2 * bin + 2], range(20))
    )) AS psi,
    if(arraySum(r.counts) = 0, NULL, arrayMax((n, m) -> abs(n / scores - m / arraySum(r.counts)), arrayCumSum(h.counts), arrayCumSum(r.counts))) AS ks,
    r.since AS reference_from,
    r.until AS reference_to
FROM histograms AS h
INNER JOIN reference AS r ON r.model = h.model AND r.horizon = h.horizon
COMMENT 'Drift of the scores per hour against a reference period (settings clickhouse.drift_reference_from and _to; without them the first 24 hours of each model): PSI (Siddiqi, Credit Risk Scorecards, 2006) and KS over bins of the logit from -7 to 3, where propensities differ, however small; PSI adds half a score to every bin, so that an empty one has no infinite weight'
