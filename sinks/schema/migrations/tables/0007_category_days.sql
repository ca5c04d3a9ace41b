-- One row holds all that is known of a day, so that a newer one replaces it as a whole.
CREATE TABLE IF NOT EXISTS category_days
(
    day Date COMMENT 'day of event time (UTC)',
    made_at DateTime64(3, 'UTC') COMMENT 'when it was made; the latest counts',
    rows UInt64 COMMENT 'rows of the day that it was made from',
    by_type Array(Tuple(category String, event_type LowCardinality(String), events UInt64, shoppers UInt64)) COMMENT 'see view events_by_category' CODEC(ZSTD(1)),
    by_model Array(Tuple(
        category String, model LowCardinality(String), events UInt64, shoppers UInt64,
        sum_propensity_session Float64, sum_propensity_1h Float64, sum_propensity_24h Float64,
        scores_session UInt64, scores_1h UInt64, scores_24h UInt64)) COMMENT 'see view propensity_by_category' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(made_at)
ORDER BY day
COMMENT 'The categories of a day; internal, read by the views by category'
