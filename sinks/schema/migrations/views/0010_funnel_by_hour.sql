CREATE OR REPLACE VIEW funnel_by_hour
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    channel LowCardinality(String) COMMENT 'where the shopper came from; empty if the event does not say',
    viewers UInt64 COMMENT 'different shoppers with a view in this hour',
    carters UInt64 COMMENT 'different shoppers who put something into the cart in this hour',
    checkouts UInt64 COMMENT 'different shoppers who began a checkout in this hour',
    buyers UInt64 COMMENT 'different shoppers with a purchase in this hour',
    views UInt64 COMMENT 'events view',
    carts UInt64 COMMENT 'events cart',
    checkout_events UInt64 COMMENT 'events checkout',
    purchases UInt64 COMMENT 'events purchase'
) AS
SELECT
    hour,
    channel,
    sumIf(shoppers, event_type = 'view') AS viewers,
    sumIf(shoppers, event_type = 'cart') AS carters,
    sumIf(shoppers, event_type = 'checkout') AS checkouts,
    sumIf(shoppers, event_type = 'purchase') AS buyers,
    sumIf(events, event_type = 'view') AS views,
    sumIf(events, event_type = 'cart') AS carts,
    sumIf(events, event_type = 'checkout') AS checkout_events,
    sumIf(events, event_type = 'purchase') AS purchases
FROM events_by_hour
WHERE event_type IN ('view', 'cart', 'checkout', 'purchase')
GROUP BY hour, channel
COMMENT 'The funnel per hour of event time (UTC) and channel: who looked, put into the cart, began a checkout, bought. Each step counts whoever took it in this hour, whatever they did before; shoppers of several hours or channels cannot be added up'
