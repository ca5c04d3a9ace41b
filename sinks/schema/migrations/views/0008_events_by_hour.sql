CREATE OR REPLACE VIEW events_by_hour
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    event_type LowCardinality(String) COMMENT 'kind of event',
    channel LowCardinality(String) COMMENT 'where the shopper came from, as the event says; empty if it does not',
    events UInt64 COMMENT 'events of this hour',
    shoppers UInt64 COMMENT 'different shoppers; they cannot be added up over rows: see shoppers_by_hour'
) AS
SELECT
    toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
    event_type,
    channel,
    count() AS events,
    uniqExact(cityHash64(user_id)) AS shoppers
FROM scores
GROUP BY hour, event_type, channel
COMMENT 'Events and shoppers per hour of event time (UTC), event type and channel; shoppers over several rows: view shoppers_by_hour'
