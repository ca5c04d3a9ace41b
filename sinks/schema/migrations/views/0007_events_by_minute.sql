CREATE OR REPLACE VIEW events_by_minute
(
    minute DateTime('UTC') COMMENT 'minute of event time',
    event_type LowCardinality(String) COMMENT 'kind of event',
    events UInt64 COMMENT 'events of this minute'
) AS
SELECT
    toStartOfMinute(fromUnixTimestamp64Milli(event_time, 'UTC')) AS minute,
    event_type,
    count() AS events
FROM scores
GROUP BY minute, event_type
COMMENT 'Events per minute of event time (UTC) and event type'
