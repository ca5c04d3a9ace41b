CREATE OR REPLACE VIEW propensity_by_category
(
    day Date COMMENT 'day of event time (UTC)',
    category String COMMENT 'category of the event; empty if it has none; (others): all but the thousand with most events, see view scores_by_category',
    model LowCardinality(String) COMMENT 'version of the model that scored the events',
    events UInt64 COMMENT 'scored events',
    shoppers UInt64 COMMENT 'different shoppers; not to be added up over rows',
    mean_propensity_session Float64 COMMENT 'mean over the events; NaN if the model has no such horizon',
    mean_propensity_1h Float64 COMMENT 'mean over the events; NaN if the model has no such horizon',
    mean_propensity_24h Float64 COMMENT 'mean over the events; NaN if the model has no such horizon',
    sum_propensity_session Float64 COMMENT 'sum, for means over several rows: divide by the sum of scores_session',
    sum_propensity_1h Float64 COMMENT 'sum, for means over several rows: divide by the sum of scores_1h',
    sum_propensity_24h Float64 COMMENT 'sum, for means over several rows: divide by the sum of scores_24h',
    scores_session UInt64 COMMENT 'events that have a propensity_session',
    scores_1h UInt64 COMMENT 'events that have a propensity_1h',
    scores_24h UInt64 COMMENT 'events that have a propensity_24h'
) AS
SELECT
    day,
    category,
    model,
    count() AS events,
    uniqExact(shopper_hash) AS shoppers,
    sum_propensity_session / scores_session AS mean_propensity_session,
    sum_propensity_1h / scores_1h AS mean_propensity_1h,
    sum_propensity_24h / scores_24h AS mean_propensity_24h,
    sum(toFloat64(ifNotFinite(propensity_session, 0))) AS sum_propensity_session,
    sum(toFloat64(ifNotFinite(propensity_1h, 0))) AS sum_propensity_1h,
    sum(toFloat64(ifNotFinite(propensity_24h, 0))) AS sum_propensity_24h,
    sum(isFinite(propensity_session)) AS scores_session,
    sum(isFinite(propensity_1h)) AS scores_1h,
    sum(isFinite(propensity_24h)) AS scores_24h
FROM scores_by_category
GROUP BY day, category, model
COMMENT 'Propensities per day of event time (UTC), category and model version'
