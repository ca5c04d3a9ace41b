CREATE OR REPLACE VIEW propensity_by_hour AS
SELECT
    toStartOfHour(event_at) AS hour,
    model,
    count() AS events,
    uniqExact(user_id) AS users,
    avg(propensity_session) AS mean_propensity_session,
    avg(propensity_1h) AS mean_propensity_1h,
    avg(propensity_24h) AS mean_propensity_24h,
    quantile(0.5)(propensity_session) AS median_propensity_session,
    quantile(0.99)(propensity_session) AS p99_propensity_session
FROM scores
GROUP BY hour, model
COMMENT 'Propensities per hour of event time (UTC) and model version'
