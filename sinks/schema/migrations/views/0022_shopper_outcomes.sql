CREATE OR REPLACE VIEW shopper_outcomes
(
    user_id String COMMENT 'the shopper: ask for one, WHERE user_id = ...',
    event_time Int64 COMMENT 'when the event happened, epoch milliseconds',
    event_type LowCardinality(String) COMMENT 'kind of event',
    model LowCardinality(String) COMMENT 'version of the model that scored it',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    propensity Float64 COMMENT 'what the score said',
    purchased UInt8 COMMENT '1 if the shopper bought within the horizon, strictly after the event',
    known_at Int64 COMMENT 'when the horizon was over, epoch milliseconds'
) AS
WITH
    (SELECT last_event FROM data_span) AS end_of_data,
    shoppers AS
    (
        SELECT
            user_id,
            arraySort(e -> e.1, groupArray((event_time, event_type, model, propensity_session, propensity_1h, propensity_24h))) AS events,
            events.1 AS times,
            arrayShiftLeft(times, 1, toInt64(9000000000000)) AS next_times,
            arrayReverseFill((t, next) -> next - t > 1800000, times, next_times) AS session_ends,
            arrayReverseFill(t -> t < 9000000000000, arrayMap((t, type) -> if(type = 'purchase', t, toInt64(9000000000000)), times, events.2)) AS purchases_from,
            arrayReverseFill((t, own, next) -> next != own, arrayShiftLeft(purchases_from, 1, toInt64(9000000000000)), times, next_times) AS next_purchases
        FROM scores
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
    each.4 AS known_at
FROM shoppers
ARRAY JOIN events AS event, session_ends AS session_end, next_purchases AS next_purchase
ARRAY JOIN
    [
        ('session', event.4, session_end, session_end + 1800000),
        ('1h', event.5, event.1 + 3600000, event.1 + 3600000),
        ('24h', event.6, event.1 + 86400000, event.1 + 86400000)
    ] AS each
WHERE isFinite(each.2) AND each.4 <= end_of_data
COMMENT 'One row per score and horizon that is over, of a shopper: did the shopper buy? Fast for WHERE user_id = ...; A purchase counts if it is strictly later than the event, and within 1h, within 24h, or in the same session (gap 30 minutes). The horizon is over when the data goes on past it, see view data_span'
