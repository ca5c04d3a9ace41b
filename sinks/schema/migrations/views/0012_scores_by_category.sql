-- A shop may have a million categories: the thousand liveliest are told apart, the rest are one. Which they are is found
-- in the sample of shoppers that outcomes are made of, in a small shop all; what is then counted is every row.
CREATE OR REPLACE VIEW scores_by_category
(
    hour DateTime('UTC') COMMENT 'hour of event time, for ranges of a shop whose days are not those of UTC',
    day Date COMMENT 'day of event time (UTC)',
    category String COMMENT 'category of the event; empty if it has none; (others): all but the thousand liveliest',
    event_type LowCardinality(String) COMMENT 'kind of event',
    model LowCardinality(String) COMMENT 'version of the model that scored it',
    shopper_hash UInt64 COMMENT 'cityHash64 of the shopper',
    propensity_session Float32 COMMENT 'NaN if the model has no such horizon',
    propensity_1h Float32 COMMENT 'NaN if the model has no such horizon',
    propensity_24h Float32 COMMENT 'NaN if the model has no such horizon'
) AS
WITH
(SELECT sampled_hash FROM bounds) AS last_hash,
liveliest AS
(
    SELECT category
    FROM scores
    WHERE event_type != 'impression' AND toUInt8(bitShiftRight(cityHash64(user_id), 56)) <= toUInt8(bitShiftRight(last_hash, 56)) AND cityHash64(user_id) <= last_hash
    GROUP BY category
    ORDER BY count() DESC, category
    LIMIT 1000
)
SELECT
    toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
    toDate(fromUnixTimestamp64Milli(event_time, 'UTC')) AS day,
    if(stored.category IN (SELECT category FROM liveliest), stored.category, '(others)') AS category,
    event_type,
    model,
    cityHash64(user_id) AS shopper_hash,
    propensity_session,
    propensity_1h,
    propensity_24h
FROM scores AS stored
WHERE event_type != 'impression'
COMMENT 'Scores with the category that is shown for them; internal, read by events_by_category, propensity_by_category and the dashboards'
