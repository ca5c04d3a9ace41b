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
SELECT user_id, event_time, event_type, model, horizon, propensity, purchased, known_at
FROM outcomes_since(since_ms = 0)
COMMENT 'One row per score and horizon that is over, of a shopper: did the shopper buy? Fast for WHERE user_id = ...; A purchase counts if it is strictly later than the event, and within 1h, within 24h, or in the same session (gap 30 minutes). The horizon is over when the data goes on past it, see view data_span'
