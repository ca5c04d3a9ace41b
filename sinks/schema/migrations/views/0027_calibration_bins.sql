CREATE OR REPLACE VIEW calibration_bins
(
    model LowCardinality(String) COMMENT 'version of the model',
    horizon LowCardinality(String) COMMENT 'session, 1h or 24h',
    bin UInt8 COMMENT '0 to 19 by rising propensity, with about equally many scores',
    lower Float64 COMMENT 'lowest propensity of the bin',
    upper Float64 COMMENT 'highest propensity of the bin',
    scores UInt64 COMMENT 'scores in the bin whose horizon has passed',
    mean_propensity Float64 COMMENT 'what they said on average',
    purchase_rate Float64 COMMENT 'what came true: the share that a purchase followed within the horizon'
) AS
SELECT
    model,
    horizon,
    toUInt8(19 - tupleElement(each, 1)) AS bin,
    min(tupleElement(each, 2).5) AS lower,
    max(tupleElement(each, 2).6) AS upper,
    toUInt64(sum(tupleElement(each, 2).2)) AS scores,
    sum(tupleElement(each, 2).4) / scores AS mean_propensity,
    sum(tupleElement(each, 2).3) / scores AS purchase_rate
FROM outcome_ranks
ARRAY JOIN arrayZip(twentieths, ranks) AS each
GROUP BY model, horizon, bin
COMMENT 'Calibration per model version and horizon: what the propensities said and what came true, over 20 bins of about equal counts; a bin has every score from lower to upper; made every 10 seconds by list_stale_outcomes and make_outcomes'
