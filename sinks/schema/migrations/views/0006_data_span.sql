-- One shopper's wrong clock must not end every horizon and move every chart's end. Events that are more than a day ahead
-- of the server's clock count only if they follow those before them by at most a day: a replay may run ahead of the clock.
CREATE OR REPLACE VIEW data_span
(
    first_event Int64 COMMENT 'time of the first event, epoch milliseconds; 0 if there is none',
    last_event Int64 COMMENT 'time of the last event that no wrong clock has made, epoch milliseconds',
    events UInt64 COMMENT 'events from the first to the last',
    events_beyond UInt64 COMMENT 'events after the last: more than a day ahead of the clock, and of all before them'
) AS
WITH
hours AS
(
    SELECT
        toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
        count() AS hour_events,
        min(event_time) AS hour_first,
        max(event_time) AS hour_last
    FROM scores
    WHERE event_type != 'impression'
    GROUP BY hour
),
gaps AS
(
    SELECT
        *,
        dateDiff('hour', lagInFrame(hour, 1, hour) OVER (ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), hour) AS gap_hours
    FROM hours
),
judged AS
(
    SELECT
        *,
        max(gap_hours > 24 AND hour > now() + INTERVAL 1 DAY) OVER (ORDER BY hour) AS beyond
    FROM gaps
)
SELECT
    minIf(hour_first, NOT beyond) AS first_event,
    maxIf(hour_last, NOT beyond) AS last_event,
    sumIf(hour_events, NOT beyond) AS events,
    sumIf(hour_events, beyond) AS events_beyond
FROM judged
COMMENT 'One row: from when until when there are events; what is known of the future ends with the last'
