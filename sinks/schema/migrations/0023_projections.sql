-- Aggregates that views would else make of every row, kept by the engine in each part of the table: a block that is
-- refused, doubled, merged or dropped takes its aggregates with it. A view uses one by asking in the same words.
-- Shoppers are kept as 64-bit hashes. by_shopper orders a shopper's events of one millisecond by offset in one number.
-- seen_by_hour tells the outcomes which hours have changed; by_time is the narrow copy that they are made from.
ALTER TABLE scores
    ADD PROJECTION IF NOT EXISTS by_hour
    (
        SELECT
            toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')),
            event_type,
            channel,
            model,
            count(),
            sum(toFloat64(ifNotFinite(propensity_session, 0))),
            sum(toFloat64(ifNotFinite(propensity_1h, 0))),
            sum(toFloat64(ifNotFinite(propensity_24h, 0))),
            sum(isFinite(propensity_session)),
            sum(isFinite(propensity_1h)),
            sum(isFinite(propensity_24h)),
            countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_session), least(floor(toFloat64(propensity_session) * 20), 19), 255))),
            countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_1h), least(floor(toFloat64(propensity_1h) * 20), 19), 255))),
            countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_24h), least(floor(toFloat64(propensity_24h) * 20), 19), 255))),
            countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_session), least(greatest(floor((log(toFloat64(propensity_session)) - log1p(-toFloat64(propensity_session))) * 4) + 28, 0), 39), 255))),
            countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_1h), least(greatest(floor((log(toFloat64(propensity_1h)) - log1p(-toFloat64(propensity_1h))) * 4) + 28, 0), 39), 255))),
            countResample(0, 40, 1)(toUInt8(if(isFinite(propensity_24h), least(greatest(floor((log(toFloat64(propensity_24h)) - log1p(-toFloat64(propensity_24h))) * 4) + 28, 0), 39), 255))),
            groupUniqArray(sipHash64(user_id))
        GROUP BY toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')), event_type, channel, model
    ),
    ADD PROJECTION IF NOT EXISTS by_minute
    (
        SELECT
            toStartOfMinute(fromUnixTimestamp64Milli(event_time, 'UTC')),
            event_type,
            count()
        GROUP BY toStartOfMinute(fromUnixTimestamp64Milli(event_time, 'UTC')), event_type
    ),
    ADD PROJECTION IF NOT EXISTS by_category
    (
        SELECT
            toDate(fromUnixTimestamp64Milli(event_time, 'UTC')),
            category,
            event_type,
            model,
            count(),
            sum(toFloat64(ifNotFinite(propensity_session, 0))),
            sum(toFloat64(ifNotFinite(propensity_1h, 0))),
            sum(toFloat64(ifNotFinite(propensity_24h, 0))),
            sum(isFinite(propensity_session)),
            sum(isFinite(propensity_1h)),
            sum(isFinite(propensity_24h)),
            groupUniqArray(sipHash64(user_id))
        GROUP BY toDate(fromUnixTimestamp64Milli(event_time, 'UTC')), category, event_type, model
    ),
    ADD PROJECTION IF NOT EXISTS by_shopper
    (
        SELECT
            user_id,
            max(event_time),
            argMax(event_id, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(event_type, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(item_id, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(category, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(channel, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(price, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(propensity_session, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(propensity_1h, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(propensity_24h, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            argMax(model, toUInt64(event_time) * 4194304 + source_offset % 4194304),
            count()
        GROUP BY user_id
    ),
    ADD PROJECTION IF NOT EXISTS by_scoring_minute
    (
        SELECT
            toStartOfMinute(fromUnixTimestamp64Milli(scored_at, 'UTC')),
            count(),
            countIf(source_timestamp > 0),
            quantilesDDIf(0.005, 0.5, 0.95, 0.99)(toFloat64(scored_at - source_timestamp), source_timestamp > 0),
            quantilesDDIf(0.005, 0.5, 0.95, 0.99)(toFloat64(toUnixTimestamp64Milli(stored_at) - source_timestamp), source_timestamp > 0)
        GROUP BY toStartOfMinute(fromUnixTimestamp64Milli(scored_at, 'UTC'))
    ),
    ADD PROJECTION IF NOT EXISTS by_source
    (
        SELECT
            source_topic,
            source_partition,
            min(source_offset),
            max(source_offset),
            count()
        GROUP BY source_topic, source_partition
    ),
    ADD PROJECTION IF NOT EXISTS seen_by_hour
    (
        SELECT
            intDiv(event_time, 3600000),
            event_type = 'purchase',
            count(),
            sum(cityHash64(user_id, event_time, event_type, model)),
            min(event_time),
            max(event_time)
        GROUP BY intDiv(event_time, 3600000), event_type = 'purchase'
    ),
    ADD PROJECTION IF NOT EXISTS by_time
    (
        SELECT
            user_id,
            event_time,
            event_type,
            model,
            propensity_session,
            propensity_1h,
            propensity_24h
        ORDER BY event_time
    )
