-- What became of a score is told by its shopper's later events alone: of scores since a time, only what came since is read.
CREATE OR REPLACE VIEW outcomes_since AS
WITH
    (SELECT last_event FROM data_span) AS end_of_data,
    shoppers AS
    (
        SELECT
            user_id,
            arraySort(e -> e.1, groupArray((event_time, event_type, model, propensity_session, propensity_1h, propensity_24h, shift_session, shift_1h, shift_24h))) AS events,
            events.1 AS times,
            arrayShiftLeft(times, 1, toInt64(9000000000000)) AS next_times,
            arrayReverseFill((t, next) -> next - t > 1800000, times, next_times) AS session_ends,
            arrayReverseFill(t -> t < 9000000000000, arrayMap((t, type) -> if(type = 'purchase', t, toInt64(9000000000000)), times, events.2)) AS purchases_from,
            arrayReverseFill((t, own, next) -> next != own, arrayShiftLeft(purchases_from, 1, toInt64(9000000000000)), times, next_times) AS next_purchases
        FROM scores
        WHERE event_time >= {since_ms:Int64} AND event_type != 'impression'
        GROUP BY user_id
    )
SELECT
    user_id,
    event.1 AS event_time,
    event.2 AS event_type,
    event.3 AS model,
    each.1 AS horizon,
    toFloat64(each.2) AS propensity,
    next_purchase <= each.3 AS purchased,
    each.4 AS known_at,
    toFloat64(each.5) AS shift
FROM shoppers
ARRAY JOIN events AS event, session_ends AS session_end, next_purchases AS next_purchase
ARRAY JOIN
    [
        ('session', event.4, session_end, session_end + 1800000, event.7),
        ('1h', event.5, event.1 + 3600000, event.1 + 3600000, event.8),
        ('24h', event.6, event.1 + 86400000, event.1 + 86400000, event.9)
    ] AS each
WHERE isFinite(each.2) AND each.4 <= end_of_data
COMMENT 'One row per score and horizon that is over, see shopper_outcomes, of events since an epoch millisecond; internal, ask as outcomes_since(since_ms = 0)'
