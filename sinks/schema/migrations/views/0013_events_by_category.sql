CREATE OR REPLACE VIEW events_by_category
(
    day Date COMMENT 'day of event time (UTC)',
    category String COMMENT 'category of the event; empty if it has none; (others): all but the thousand with most events, see view scores_by_category',
    event_type LowCardinality(String) COMMENT 'kind of event',
    events UInt64 COMMENT 'events of this day',
    shoppers UInt64 COMMENT 'different shoppers'
) AS
SELECT
    day,
    category,
    event_type,
    count() AS events,
    uniqExact(shopper_hash) AS shoppers
FROM scores_by_category
GROUP BY day, category, event_type
COMMENT 'Events and shoppers per day of event time (UTC), category and event type'
