-- Whole histories of the sampled shoppers, as with the outcomes of scores: the beginning of the table. Shoppers, lists and
-- items are 64-bit hashes here, so that millions of shown items are sums of numbers; and only items that their shopper
-- also viewed, carted or bought go through the join.
CREATE OR REPLACE VIEW impression_outcomes
(
    hour DateTime('UTC') COMMENT 'hour in which the list was shown (UTC)',
    shopper_hash UInt64 COMMENT 'cityHash64 of the shopper',
    shown_by LowCardinality(String) COMMENT 'the model or rule that made the list; empty if the impression does not say',
    placement LowCardinality(String) COMMENT 'where the list was shown; empty if the impression does not say',
    position UInt16 COMMENT 'place in the list, from 1',
    shown UInt8 COMMENT '1 for an item shown, if the data go on for 30 minutes after it: what clicks are a share of',
    clicks UInt8 COMMENT '1 if the shopper viewed it within these 30 minutes',
    shown_a_day UInt8 COMMENT '1 for an item shown, if the data go on for 24 hours after it: what carts and purchases are a share of',
    carts UInt8 COMMENT '1 if the shopper put it into the cart within these 24 hours',
    purchases UInt8 COMMENT '1 if the shopper bought it within these 24 hours'
) AS
WITH
(SELECT sampled_hash FROM bounds) AS last_hash,
(SELECT last_event FROM data_span) AS end_of_data,
lists AS
(
    SELECT
        cityHash64(user_id) AS shopper,
        cityHash64(user_id, event_id) AS list,
        min(event_time) AS at,
        any(shown_by) AS list_by,
        any(placement) AS list_placement,
        any(arrayMap(item -> cityHash64(user_id, item), shown)) AS items
    FROM scores
    WHERE event_type = 'impression'
        AND toUInt8(bitShiftRight(cityHash64(user_id), 56)) <= toUInt8(bitShiftRight(last_hash, 56)) AND cityHash64(user_id) <= last_hash
    GROUP BY shopper, list
),
actions AS
(
    SELECT cityHash64(user_id, item_id) AS item, event_type, event_time
    FROM scores
    WHERE event_type IN ('view', 'cart', 'purchase') AND item_id != ''
        AND toUInt8(bitShiftRight(cityHash64(user_id), 56)) <= toUInt8(bitShiftRight(last_hash, 56)) AND cityHash64(user_id) <= last_hash
),
credited AS
(
    SELECT
        any(places.shopper) AS shopper,
        any(places.at) AS at,
        any(places.list_by) AS list_by,
        any(places.list_placement) AS list_placement,
        any(places.place) AS place,
        max(actions.event_type = 'view' AND actions.event_time - places.at <= 1800000) AS clicked,
        max(actions.event_type = 'cart' AND actions.event_time - places.at <= 86400000) AS carted,
        max(actions.event_type = 'purchase' AND actions.event_time - places.at <= 86400000) AS purchased
    FROM actions
    ASOF INNER JOIN
    (
        SELECT shopper, list, at, list_by, list_placement, item, place
        FROM lists
        ARRAY JOIN items AS item, arrayEnumerate(items) AS place, arrayEnumerateUniq(items) AS nth
        WHERE nth = 1 AND item IN (SELECT item FROM actions)
    ) AS places ON places.item = actions.item AND actions.event_time >= places.at
    GROUP BY places.list, places.item
)
SELECT
    toStartOfHour(fromUnixTimestamp64Milli(at, 'UTC')) AS hour,
    shopper AS shopper_hash,
    list_by AS shown_by,
    list_placement AS placement,
    toUInt16(place) AS position,
    is_shown AND at + 1800000 <= end_of_data AS shown,
    clicked AND at + 1800000 <= end_of_data AS clicks,
    is_shown AND at + 86400000 <= end_of_data AS shown_a_day,
    carted AND at + 86400000 <= end_of_data AS carts,
    purchased AND at + 86400000 <= end_of_data AS purchases
FROM
(
    SELECT shopper, at, list_by, list_placement, place, 1 AS is_shown, 0 AS clicked, 0 AS carted, 0 AS purchased
    FROM lists
    ARRAY JOIN arrayEnumerate(items) AS place, arrayEnumerateUniq(items) AS nth
    WHERE nth = 1
    UNION ALL
    SELECT shopper, at, list_by, list_placement, place, 0 AS is_shown, clicked, carted, purchased
    FROM credited
)
COMMENT 'What impressions showed to the sampled shoppers (clickhouse.evaluated_scores) and what these then did: a row per item shown, and another one per item shown that was viewed, carted or bought; add them up. A view, a cart or a purchase is credited to the last list that showed the item to that shopper before it; an impression that was sent twice counts once, an item that is twice in a list at its first place'
