-- A shop may have a million categories; a day's thousand liveliest are told apart, the rest are one. A day is made again
-- when it has not as many rows as it was made from, and its rows, at 100,000 a second, have had their time.
CREATE MATERIALIZED VIEW IF NOT EXISTS make_category_days
REFRESH EVERY 10 SECOND APPEND TO category_days
AS
WITH
counted AS
(
    SELECT toDate(toDateTime(hour_number * 3600, 'UTC'), 'UTC') AS day, sum(counted_rows) AS day_rows
    FROM (SELECT intDiv(event_time, 3600000) AS hour_number, count() AS counted_rows FROM scores GROUP BY hour_number)
    GROUP BY day
    UNION ALL
    SELECT day, 0
    FROM category_days FINAL
    WHERE rows > 0 AND day NOT IN (SELECT toDate(fromUnixTimestamp64Milli(event_time, 'UTC')) AS day FROM scores GROUP BY day)
),
stale AS
(
    SELECT day, day_rows, sum(day_rows) OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - day_rows AS rows_before
    FROM counted
    LEFT JOIN (SELECT day, made_at, rows FROM category_days FINAL) AS made USING (day)
    WHERE day_rows != made.rows AND dateDiff('millisecond', made.made_at, now64(3)) >= intDiv(day_rows, 100)
),
days AS
(
    SELECT day
    FROM stale
    WHERE rows_before <= 2000000
),
liveliest AS
(
    SELECT toDate(fromUnixTimestamp64Milli(event_time, 'UTC')) AS day, category, count() AS events
    FROM scores
    WHERE day IN (SELECT day FROM days)
    GROUP BY day, category
    ORDER BY events DESC, category
    LIMIT 1000 BY day
),
kept AS
(
    SELECT
        day AS kept_day,
        if((day, category) IN (SELECT day, category FROM liveliest), category, '(others)') AS shown,
        event_type,
        model,
        events,
        users,
        s1, s2, s3, n1, n2, n3
    FROM
    (
        SELECT
            toDate(fromUnixTimestamp64Milli(event_time, 'UTC')) AS day,
            category,
            event_type,
            model,
            count() AS events,
            groupUniqArray(sipHash64(user_id)) AS users,
            sum(toFloat64(ifNotFinite(propensity_session, 0))) AS s1,
            sum(toFloat64(ifNotFinite(propensity_1h, 0))) AS s2,
            sum(toFloat64(ifNotFinite(propensity_24h, 0))) AS s3,
            sum(isFinite(propensity_session)) AS n1,
            sum(isFinite(propensity_1h)) AS n2,
            sum(isFinite(propensity_24h)) AS n3
        FROM scores
        WHERE day IN (SELECT day FROM days)
        GROUP BY day, category, event_type, model
    )
),
grouped AS
(
    SELECT
        kept_day,
        shown,
        event_type,
        model,
        grouping(model) AS of_type,
        sum(events) AS events,
        uniqExactArray(users) AS shoppers,
        sum(s1) AS t1,
        sum(s2) AS t2,
        sum(s3) AS t3,
        sum(n1) AS m1,
        sum(n2) AS m2,
        sum(n3) AS m3
    FROM kept
    GROUP BY GROUPING SETS ((kept_day, shown, event_type), (kept_day, shown, model))
),
made AS
(
    SELECT
        kept_day,
        sumIf(events, of_type = 1) AS rows,
        groupArrayIf((shown, event_type, events, shoppers), of_type = 1) AS by_type,
        groupArrayIf((shown, model, events, shoppers, t1, t2, t3, m1, m2, m3), of_type = 0) AS by_model
    FROM grouped
    GROUP BY kept_day
)
SELECT
    days.day AS day,
    now64(3) AS made_at,
    made.rows AS rows,
    made.by_type AS by_type,
    made.by_model AS by_model
FROM days
LEFT JOIN made ON made.kept_day = days.day
COMMENT 'Every 10 seconds: makes the categories of days that have changed, into category_days'
