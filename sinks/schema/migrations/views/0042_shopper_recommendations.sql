CREATE OR REPLACE VIEW shopper_recommendations
(
    user_id String COMMENT 'the shopper: ask for one, WHERE user_id = ...',
    event_at DateTime64(3, 'UTC') COMMENT 'when the event happened at which items were recommended',
    event_id String COMMENT 'the event',
    event_type LowCardinality(String) COMMENT 'its type, as the shop calls it',
    goal LowCardinality(String) COMMENT 'what the shopper should do next with an item: view, cart or purchase',
    item_ids Array(String) COMMENT 'the items, the likeliest first',
    names Array(String) COMMENT 'their titles, the id of an item that has none',
    item_scores Array(Float32) COMMENT 'their scores, which rank them for this event alone',
    model LowCardinality(String) COMMENT 'version of the model that recommended',
    recommended_at DateTime64(3, 'UTC') COMMENT 'when it was made'
) AS
SELECT
    user_id,
    event_at,
    event_id,
    event_type,
    goal,
    items.item_id AS item_ids,
    arrayMap(item -> coalesce(nullIf(item.title, ''), item.item_id), items) AS names,
    items.score AS item_scores,
    model,
    recommended_at_time AS recommended_at
FROM recommendations
LIMIT 1 BY user_id, event_time, source_topic, source_partition, source_offset
COMMENT 'What was recommended to a shopper at which events, each once; fast for WHERE user_id = ...'
