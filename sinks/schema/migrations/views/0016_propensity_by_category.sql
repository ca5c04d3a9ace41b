CREATE OR REPLACE VIEW propensity_by_category
(
    day Date COMMENT 'day of event time (UTC)',
    category String COMMENT 'category of the event; empty if it has none; (others): all beyond the thousand with most events of the day',
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
    tupleElement(each, 'category') AS category,
    tupleElement(each, 'model') AS model,
    tupleElement(each, 'events') AS events,
    tupleElement(each, 'shoppers') AS shoppers,
    sum_propensity_session / scores_session AS mean_propensity_session,
    sum_propensity_1h / scores_1h AS mean_propensity_1h,
    sum_propensity_24h / scores_24h AS mean_propensity_24h,
    tupleElement(each, 'sum_propensity_session') AS sum_propensity_session,
    tupleElement(each, 'sum_propensity_1h') AS sum_propensity_1h,
    tupleElement(each, 'sum_propensity_24h') AS sum_propensity_24h,
    tupleElement(each, 'scores_session') AS scores_session,
    tupleElement(each, 'scores_1h') AS scores_1h,
    tupleElement(each, 'scores_24h') AS scores_24h
FROM (SELECT day, by_model FROM category_days FINAL)
ARRAY JOIN by_model AS each
COMMENT 'Propensities per day of event time (UTC), category and model version; made every 10 seconds by make_category_days'
