-- A claim takes what was done since the claim before it, by whomever; of a user's own later claims most find nothing.
CREATE OR REPLACE VIEW identities
(
    anonymous_id String COMMENT 'the anonymous id',
    user_id String COMMENT 'the user whose events name it',
    first_at DateTime64(3, 'UTC') COMMENT 'time of the first event that names both',
    last_at DateTime64(3, 'UTC') COMMENT 'time of the last one',
    joined_events UInt64 COMMENT 'events under the anonymous id that became the user\'s: those before an event that names both and after one that names another user, or all before it',
    joined_sessions UInt64 COMMENT 'of the sessions of these events, so many went on under the user\'s id within 30 minutes',
    latest_joined_at DateTime64(3, 'UTC') COMMENT 'time of the last event that became the user\'s; 1970 if none did'
) AS
WITH
    anonymous AS
    (
        SELECT user_id AS anonymous_id, event_time
        FROM scores
        WHERE user_id IN (SELECT anonymous_id FROM named_ids) AND event_type != 'impression'
    ),
    joined AS
    (
        SELECT anonymous.anonymous_id AS anonymous_id, named_ids.user_id AS user_id, anonymous.event_time AS event_time, named_ids.event_time AS claimed
        FROM anonymous ASOF INNER JOIN named_ids
            ON anonymous.anonymous_id = named_ids.anonymous_id AND named_ids.event_time >= anonymous.event_time
    ),
    taken AS
    (
        SELECT
            anonymous_id,
            user_id,
            sum(events) AS events,
            sum(claimed - last_ms <= 1800000) AS sessions,
            max(last_ms) AS latest
        FROM (SELECT anonymous_id, user_id, claimed, count() AS events, max(event_time) AS last_ms FROM joined GROUP BY anonymous_id, user_id, claimed)
        GROUP BY anonymous_id, user_id
    )
SELECT
    pairs.anonymous_id,
    pairs.user_id,
    pairs.first_at,
    pairs.last_at,
    taken.events AS joined_events,
    taken.sessions AS joined_sessions,
    fromUnixTimestamp64Milli(taken.latest, 'UTC') AS latest_joined_at
FROM (SELECT anonymous_id, user_id, min(named_at) AS first_at, max(named_at) AS last_at FROM named_ids GROUP BY anonymous_id, user_id) AS pairs
LEFT JOIN taken ON pairs.anonymous_id = taken.anonymous_id AND pairs.user_id = taken.user_id
COMMENT 'Which anonymous ids are whose, and how much of what was done under them was joined; fast for few pairs: WHERE user_id = ...'
