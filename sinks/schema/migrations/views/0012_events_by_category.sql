CREATE OR REPLACE VIEW events_by_category
(
    day Date COMMENT 'day of event time (UTC)',
    category String COMMENT 'category of the event; empty if it has none; (others): all beyond the thousand with most events of the day',
    event_type LowCardinality(String) COMMENT 'kind of event',
    events UInt64 COMMENT 'events of this day',
    shoppers UInt64 COMMENT 'different shoppers'
) AS
SELECT
    day,
    tupleElement(each, 'category') AS category,
    tupleElement(each, 'event_type') AS event_type,
    tupleElement(each, 'events') AS events,
    tupleElement(each, 'shoppers') AS shoppers
FROM (SELECT day, by_type FROM category_days FINAL)
ARRAY JOIN by_type AS each
COMMENT 'Events and shoppers per day of event time (UTC), category and event type; made every 10 seconds by make_category_days'
