CREATE OR REPLACE VIEW events_by_hour AS
SELECT
    toStartOfHour(event_at) AS hour,
    event_type,
    count() AS events,
    uniqExact(user_id) AS users
FROM scores
GROUP BY hour, event_type
COMMENT 'Events and shoppers per hour of event time (UTC) and event type: the funnel over time'
