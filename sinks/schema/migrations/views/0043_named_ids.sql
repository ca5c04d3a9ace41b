CREATE OR REPLACE VIEW named_ids
(
    anonymous_id String COMMENT 'the anonymous id that an event names',
    user_id String COMMENT 'the user whose event it is',
    event_time Int64 COMMENT 'when it happened, epoch milliseconds',
    named_at DateTime64(3, 'UTC') COMMENT 'the same as a time'
) AS
SELECT anonymous_id, user_id, event_time, event_at AS named_at
FROM scores
WHERE anonymous_id != '' AND event_type != 'impression'
COMMENT 'Events that name an anonymous id beside their user; internal, read by identities and the timeline'
