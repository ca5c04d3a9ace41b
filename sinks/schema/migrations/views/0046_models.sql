CREATE OR REPLACE VIEW models
(
    model LowCardinality(String) COMMENT 'version of the model',
    events UInt64 COMMENT 'events that it scored',
    first_scored_at DateTime64(3, 'UTC') COMMENT 'when it scored the first of them, whenever that happened',
    last_scored_at DateTime64(3, 'UTC') COMMENT 'when it scored the last of them'
) AS
SELECT
    model,
    count() AS events,
    fromUnixTimestamp64Milli(min(scored_at), 'UTC') AS first_scored_at,
    fromUnixTimestamp64Milli(max(scored_at), 'UTC') AS last_scored_at
FROM scores
WHERE event_type != 'impression'
GROUP BY model
COMMENT 'Model versions with the times at which they scored: the first of a new one is when workers took it over'
