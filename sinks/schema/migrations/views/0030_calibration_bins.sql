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
    toUInt8(19 - each.1) AS bin,
    min(each.2) AS lower,
    max(each.2) AS upper,
    toUInt64(sum(each.3)) AS scores,
    sum(each.5) / scores AS mean_propensity,
    sum(each.4) / scores AS purchase_rate
FROM outcome_ranks(by_hour = 0)
ARRAY JOIN arrayZip(twentieths, each_p, each_n, each_y, each_s) AS each
GROUP BY model, horizon, bin
COMMENT 'Calibration per model version and horizon, of the sampled shoppers (clickhouse.evaluated_scores): what the propensities said and what came true, over 20 bins of about equal counts; a bin has every score from lower to upper'
