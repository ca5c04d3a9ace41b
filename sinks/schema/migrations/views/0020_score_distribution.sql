CREATE OR REPLACE VIEW score_distribution
(
    hour DateTime('UTC') COMMENT 'hour of event time',
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    bin UInt8 COMMENT '0 to 19, each 0.05 wide; 1.0 is in the last',
    lower Float64 COMMENT 'least propensity of the bin',
    upper Float64 COMMENT 'end of the bin, not part of it',
    scores UInt64 COMMENT 'scores in the bin'
) AS
SELECT
    hour,
    model,
    tupleElement(each, 1) AS horizon,
    tupleElement(each, 2) AS bin,
    bin / 20 AS lower,
    (bin + 1) / 20 AS upper,
    tupleElement(each, 3) AS scores
FROM
(
    SELECT
        toStartOfHour(fromUnixTimestamp64Milli(event_time, 'UTC')) AS hour,
        model,
        countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_session), least(floor(toFloat64(propensity_session) * 20), 19), 255))) AS counts_session,
        countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_1h), least(floor(toFloat64(propensity_1h) * 20), 19), 255))) AS counts_1h,
        countResample(0, 20, 1)(toUInt8(if(isFinite(propensity_24h), least(floor(toFloat64(propensity_24h) * 20), 19), 255))) AS counts_24h
    FROM scores AS stored
    GROUP BY hour, model
)
ARRAY JOIN arrayConcat(
    arrayMap((counted, bin) -> ('session', toUInt8(bin), counted), counts_session, range(20)),
    arrayMap((counted, bin) -> ('1h', toUInt8(bin), counted), counts_1h, range(20)),
    arrayMap((counted, bin) -> ('24h', toUInt8(bin), counted), counts_24h, range(20))
) AS each
WHERE tupleElement(each, 3) > 0
COMMENT 'Histogram of the propensities per hour of event time (UTC), model version and horizon; bins without a score have no row'
