-- An hour is stale if the rows that its outcomes depend on are not those they were made from: it is new, its horizon has
-- passed for more of its scores, a session that was open has ended, events came late, rows were removed.
-- A session is looked ahead for by hours: as soon as all of an hour's sessions are over, only the rows up to the last end
-- count. An hour is not made again before its rows, at 100,000 a second, have had their time; while a session of it goes
-- on, not before a 500th of its age or the rows since, at 50,000 a second: so the cost does not grow with the table.
-- At most the oldest two million rows' worth of hours at a time, and none while those of the last list are being made.
CREATE MATERIALIZED VIEW IF NOT EXISTS list_stale_outcomes
REFRESH EVERY 10 SECOND APPEND TO outcome_work
AS
WITH
(SELECT max(batch) FROM outcome_work) AS last_list,
(SELECT max(batch) FROM outcome_hours) AS last_made,
(SELECT last_event FROM data_span) AS last_event,
hours AS
(
    SELECT
        hour_number,
        sum(counted) AS hour_rows,
        sum(checksum) AS hour_checksum,
        sumIf(counted, bought) AS purchases,
        sumIf(checksum, bought) AS purchase_checksum
    FROM
    (
        SELECT
            intDiv(event_time, 3600000) AS hour_number,
            event_type = 'purchase' AS bought,
            count() AS counted,
            sum(cityHash64(user_id, event_time, event_type, model)) AS checksum
        FROM scores
        GROUP BY hour_number, bought
    )
    GROUP BY hour_number
    UNION ALL
    SELECT hour_number, 0, 0, 0, 0
    FROM outcome_hours FINAL
    WHERE notEmpty(evaluations) AND hour_number NOT IN (SELECT intDiv(event_time, 3600000) AS hour_number FROM scores GROUP BY hour_number)
    GROUP BY hour_number
),
bounded AS
(
    SELECT
        *,
        last_event AS end_of_data,
        sum(hour_rows) OVER (ORDER BY hour_number ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - hour_rows AS rows_before,
        sum(hour_rows) OVER () - rows_before AS rows_from_here
    FROM hours
),
checked AS
(
    SELECT
        hour_number,
        hour_rows,
        end_of_data,
        rows_before,
        rows_from_here,
        [
            cityHash64(sum(hour_rows) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 0 FOLLOWING), sum(hour_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 0 FOLLOWING)),
            cityHash64(sum(hour_rows) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING), sum(hour_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING)),
            cityHash64(sum(hour_rows) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 2 FOLLOWING), sum(hour_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 2 FOLLOWING)),
            cityHash64(sum(hour_rows) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 3 FOLLOWING), sum(hour_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 3 FOLLOWING)),
            cityHash64(sum(hour_rows) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), sum(hour_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), end_of_data)
        ] AS seen_session,
        [cityHash64(hour_rows, hour_checksum, sum(purchases) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING), sum(purchase_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING), least(end_of_data, (hour_number + 2) * 3600000))] AS seen_1h,
        [cityHash64(hour_rows, hour_checksum, sum(purchases) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 24 FOLLOWING), sum(purchase_checksum) OVER (ORDER BY hour_number RANGE BETWEEN CURRENT ROW AND 24 FOLLOWING), least(end_of_data, (hour_number + 25) * 3600000))] AS seen_24h
    FROM bounded
),
long AS
(
    SELECT
        hour_number,
        hour_rows,
        end_of_data,
        rows_before,
        rows_from_here,
        each.1 AS horizon,
        each.2 AS seen_now
    FROM checked
    ARRAY JOIN [('session', seen_session, 1800000), ('1h', seen_1h, 3600000), ('24h', seen_24h, 86400000)] AS each
    WHERE hour_number * 3600000 + each.3 <= end_of_data OR hour_rows = 0
),
stale AS
(
    SELECT long.*
    FROM long
    LEFT JOIN (SELECT hour_number, horizon, batch, seen, depth FROM outcome_hours FINAL) AS made
        ON made.hour_number = long.hour_number AND made.horizon = long.horizon
    WHERE empty(made.seen)
        OR (
            made.seen[made.depth] != long.seen_now[made.depth]
            AND dateDiff('millisecond', made.batch, now64(3)) >= intDiv(long.hour_rows, 100) + if(made.depth = 5, least(intDiv(long.end_of_data - long.hour_number * 3600000, 500), intDiv(long.rows_from_here, 50)), 0)
        )
),
oldest AS
(
    SELECT *, min(rows_before) OVER () AS rows_before_all
    FROM stale
)
SELECT
    now64(3) AS batch,
    hour_number,
    horizon,
    seen_now AS seen,
    hour_rows AS rows,
    end_of_data
FROM oldest
WHERE rows_before - rows_before_all <= 2000000
    AND (last_list <= last_made OR last_list < now64(3) - INTERVAL 1 MINUTE)
COMMENT 'Every 10 seconds: the hours whose outcomes are to be made (again), into outcome_work'
