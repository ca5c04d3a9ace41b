-- Labels as model/training/labels.py defines them, of the hours that list_stale_outcomes has listed. The rows of those
-- hours, for sessions of the three hours after them, and the purchases of the hours that their horizons reach; of
-- shoppers who were there in four hours in a row, and whose session may therefore go on, every later row as well.
CREATE MATERIALIZED VIEW IF NOT EXISTS make_outcomes
REFRESH EVERY 10 SECOND DEPENDS ON list_stale_outcomes APPEND TO outcome_hours
AS
WITH
(SELECT max(batch) FROM outcome_hours) AS last_batch,
(SELECT max(batch) FROM outcome_work WHERE batch > last_batch) AS this_batch,
todo AS
(
    SELECT hour_number, horizon, seen, rows, end_of_data
    FROM outcome_work
    WHERE batch = this_batch
),
(SELECT max(end_of_data) FROM todo) AS data_ends,
whole_hours AS
(
    SELECT DISTINCT hour_number + arrayJoin(range(if(horizon = 'session', 4, 1))) AS hour_number
    FROM todo
),
all_hours AS
(
    SELECT DISTINCT hour_number + arrayJoin(range(multiIf(horizon = 'session', 4, horizon = '1h', 2, 25))) AS hour_number
    FROM todo
),
long_sessions AS
(
    SELECT user_id
    FROM scores
    WHERE intDiv(event_time, 3600000) IN (SELECT hour_number FROM whole_hours)
    GROUP BY user_id
    HAVING arrayExists(
        (hour, third_next) -> third_next - hour = 3,
        arraySort(groupUniqArray(intDiv(event_time, 3600000))) AS hours,
        arrayShiftLeft(hours, 3, 0)
    )
),
stored AS
(
    SELECT user_id, event_time, event_type, model, propensity_session, propensity_1h, propensity_24h
    FROM scores
    WHERE intDiv(event_time, 3600000) IN (SELECT hour_number FROM all_hours)
        AND (event_type = 'purchase' OR intDiv(event_time, 3600000) IN (SELECT hour_number FROM whole_hours))
    UNION ALL
    SELECT user_id, event_time, event_type, model, propensity_session, propensity_1h, propensity_24h
    FROM scores
    WHERE user_id IN (SELECT user_id FROM long_sessions)
        AND event_time >= (SELECT min(hour_number) * 3600000 FROM todo)
        AND intDiv(event_time, 3600000) NOT IN (SELECT hour_number FROM whole_hours)
        AND NOT (event_type = 'purchase' AND intDiv(event_time, 3600000) IN (SELECT hour_number FROM all_hours))
),
shoppers AS
(
    SELECT
        arraySort(e -> e.1, groupArray((event_time, event_type, model, propensity_session, propensity_1h, propensity_24h))) AS events,
        events.1 AS times,
        arrayShiftLeft(times, 1, toInt64(9000000000000)) AS next_times,
        arrayReverseFill((t, next) -> next - t > 1800000, times, next_times) AS session_ends,
        arrayReverseFill(t -> t < 9000000000000, arrayMap((t, type) -> if(type = 'purchase', t, toInt64(9000000000000)), times, events.2)) AS purchases_from,
        arrayReverseFill((t, own, next) -> next != own, arrayShiftLeft(purchases_from, 1, toInt64(9000000000000)), times, next_times) AS next_purchases
    FROM stored
    GROUP BY user_id
),
events_of_todo AS
(
    SELECT
        intDiv(event.1, 3600000) AS hour_number,
        event.2 AS event_type,
        event.3 AS model,
        [
            ('session', toFloat64(event.4), next_purchase <= session_end, session_end + 1800000),
            ('1h', toFloat64(event.5), next_purchase <= event.1 + 3600000, event.1 + 3600000),
            ('24h', toFloat64(event.6), next_purchase <= event.1 + 86400000, event.1 + 86400000)
        ] AS labels
    FROM shoppers
    ARRAY JOIN events AS event, session_ends AS session_end, next_purchases AS next_purchase
    WHERE intDiv(event.1, 3600000) IN (SELECT hour_number FROM todo)
),
labelled AS
(
    SELECT
        hour_number,
        label.1 AS horizon,
        event_type,
        model,
        label.2 AS propensity,
        label.3 AS purchased,
        isFinite(propensity) AND label.4 <= data_ends AS known,
        least(greatest(propensity, 1e-7), 1 - 1e-7) AS clipped,
        log(clipped / (1 - clipped)) AS logit,
        hour_number IN (SELECT hour_number FROM todo WHERE rows <= 300) AS sparse,
        if(label.4 > data_ends OR intDiv(label.4, 3600000) > hour_number + 3, 5, 1 + intDiv(label.4, 3600000) - hour_number) AS closed_after
    FROM events_of_todo
    ARRAY JOIN labels AS label
    WHERE (hour_number, horizon) IN (SELECT hour_number, horizon FROM todo)
),
grouped AS
(
    SELECT
        hour_number,
        horizon,
        model,
        event_type,
        if(known, propensity, 0) AS value,
        toInt16(if(known, floor(8 * logit), 0)) AS bin,
        toInt32(multiIf(NOT known, 0, sparse, floor(1024 * logit), 16 * floor(64 * logit) + 8)) AS rank,
        multiIf(grouping(value) = 0, 'value', grouping(bin) = 0, 'bin', grouping(rank) = 0, 'rank', 'hour') AS kind,
        max(closed_after) AS closed,
        countIf(known) AS n,
        countIf(known AND purchased) AS y,
        sumIf(propensity, known) AS s,
        sumIf(-log(if(purchased, clipped, 1 - clipped)), known) AS l,
        sumIf((propensity - purchased) * (propensity - purchased), known) AS q,
        minIf(propensity, known) AS lower,
        maxIf(propensity, known) AS upper
    FROM labelled
    GROUP BY GROUPING SETS (
        (hour_number, horizon),
        (hour_number, horizon, model, value),
        (hour_number, horizon, model, event_type, bin),
        (hour_number, horizon, model, rank)
    )
),
by_model AS
(
    SELECT
        hour_number,
        horizon,
        model,
        max(closed) AS closed_by,
        arrayReverseSort(groupArrayIf((value, toFloat64(n), toFloat64(y), s), kind = 'value' AND n > 0)) AS values,
        sumIf(l, kind = 'value') AS losses,
        sumIf(q, kind = 'value') AS squares,
        groupArrayIf((model, event_type, bin, n, y, s, l, q), kind = 'bin' AND n > 0) AS model_bins,
        groupArrayIf((model, rank, n, y, s, l, q, lower, upper), kind = 'rank' AND n > 0) AS model_entries
    FROM grouped
    GROUP BY hour_number, horizon, model
),
columns_of_values AS
(
    SELECT *, values.2 AS each_n, values.3 AS each_y, values.4 AS each_s
    FROM by_model
),
cumulated AS
(
    SELECT *, arrayCumSum(each_n) AS upto_n, arrayCumSum(each_y) AS upto_y, arraySum(each_n) AS total, arraySum(each_y) AS bought
    FROM columns_of_values
),
binned AS
(
    SELECT *, arrayMap((upto, own) -> floor(20 * (upto - own / 2) / total), upto_n, each_n) AS calibration_bins
    FROM cumulated
),
ranked AS
(
    SELECT
        *,
        arrayMap((own, next) -> own != next, calibration_bins, arrayShiftLeft(calibration_bins, 1, -1)) AS bin_ends,
        arrayCumSum((own_s, own_y) -> own_s - own_y, each_s, each_y) AS upto_miss,
        arrayFirstIndex(upto -> upto >= 0.01 * total, upto_n) AS at_1,
        arrayFirstIndex(upto -> upto >= 0.05 * total, upto_n) AS at_5,
        arrayFirstIndex(upto -> upto >= 0.1 * total, upto_n) AS at_10
    FROM binned
),
evaluated AS
(
    SELECT
        hour_number,
        horizon,
        toUInt8(max(closed_by)) AS depth,
        groupArrayIf((
            model,
            toUInt64(total),
            toUInt64(bought),
            bought / total,
            arraySum(each_s) / total,
            if(bought = 0 OR bought = total, NULL, arraySum((own_n, own_y, upto) -> (own_n - own_y) * (upto - own_y / 2), each_n, each_y, upto_y) / bought / (total - bought)),
            if(bought = 0 OR bought = total, NULL, arraySum((own_y, upto, all) -> own_y * upto / all, each_y, upto_y, upto_n) / bought),
            losses / total,
            squares / total,
            arraySum(d -> abs(d), arrayDifference(arrayPushFront(arrayFilter((d, last) -> last, upto_miss, bin_ends), 0))) / total,
            if(bought = 0, NULL, (upto_y[at_1] - each_y[at_1] * (upto_n[at_1] - 0.01 * total) / each_n[at_1]) / bought / 0.01),
            if(bought = 0, NULL, (upto_y[at_5] - each_y[at_5] * (upto_n[at_5] - 0.05 * total) / each_n[at_5]) / bought / 0.05),
            if(bought = 0, NULL, (upto_y[at_10] - each_y[at_10] * (upto_n[at_10] - 0.1 * total) / each_n[at_10]) / bought / 0.1)
        ), total > 0) AS evaluations,
        groupArrayArray(model_bins) AS bins,
        groupArrayArray(model_entries) AS entries
    FROM ranked
    GROUP BY hour_number, horizon
)
SELECT
    todo.hour_number AS hour_number,
    todo.horizon AS horizon,
    this_batch AS batch,
    todo.seen AS seen,
    if(todo.horizon = 'session', greatest(evaluated.depth, 1), 1) AS depth,
    todo.rows AS rows,
    todo.end_of_data AS end_of_data,
    evaluated.evaluations AS evaluations,
    evaluated.bins AS bins,
    evaluated.entries AS entries
FROM todo
LEFT JOIN evaluated ON evaluated.hour_number = todo.hour_number AND evaluated.horizon = todo.horizon
COMMENT 'Every 10 seconds: makes the outcomes of the hours in outcome_work, into outcome_hours'
