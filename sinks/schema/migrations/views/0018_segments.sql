CREATE OR REPLACE VIEW segments
(
    segment LowCardinality(String) COMMENT 'high, medium or low by propensity_24h of the latest event (bounds: view bounds); unknown without such a horizon',
    shoppers UInt64 COMMENT 'shoppers in it',
    mean_propensity_24h Float64 COMMENT 'mean over its shoppers; NaN for unknown',
    value_at_stake Float64 COMMENT 'sum of propensity_24h x price of the latest event that has a price, over its shoppers'
) AS
SELECT
    segment,
    count() AS shoppers,
    avg(propensity_24h) AS mean_propensity_24h,
    ifNull(sum(value_at_stake), 0) AS value_at_stake
FROM latest_scores
GROUP BY segment
COMMENT 'Shoppers by segment, with the purchases'' value that is at stake: propensity x price'
