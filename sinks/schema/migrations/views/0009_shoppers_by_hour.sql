CREATE OR REPLACE VIEW shoppers_by_hour
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    event_type LowCardinality(String) COMMENT 'kind of event',
    channel LowCardinality(String) COMMENT 'where the shopper came from, as the event says; empty if it does not',
    shopper_hashes Array(UInt64) COMMENT 'sipHash64 of each different shopper: uniqExactArray(shopper_hashes) counts shoppers over any rows'
) AS
SELECT
    toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
    event_type,
    channel,
    groupUniqArray(sipHash64(user_id)) AS shopper_hashes
FROM scores
GROUP BY hour, event_type, channel
COMMENT 'Who was there per hour of event time (UTC), event type and channel, as hashes: for counting different shoppers over hours, types or channels'
