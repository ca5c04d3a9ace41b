CREATE OR REPLACE VIEW latest_scores AS
SELECT
    user_id,
    argMax(event_at, moment) AS event_at,
    argMax(event_type, moment) AS event_type,
    argMax(item_id, moment) AS item_id,
    argMax(category, moment) AS category,
    argMax(propensity_session, moment) AS propensity_session,
    argMax(propensity_1h, moment) AS propensity_1h,
    argMax(propensity_24h, moment) AS propensity_24h,
    argMax(model, moment) AS model,
    count() AS events
FROM
(
    SELECT *, event_at, (event_time, source_offset) AS moment
    FROM scores
)
GROUP BY user_id
COMMENT 'One row per shopper: the latest score; order by a propensity for the likeliest buyers'
