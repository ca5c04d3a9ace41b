-- Settings that views need. `cartcast migrate` writes a row when one has changed; the last one counts.
CREATE TABLE IF NOT EXISTS view_settings
(
    name LowCardinality(String) COMMENT 'name of the setting under clickhouse, such as segment_high',
    value String COMMENT 'its value as text; empty if it is not set',
    changed_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it was written'
)
ENGINE = ReplacingMergeTree(changed_at)
ORDER BY name
COMMENT 'Settings of the views, written by cartcast migrate; the view bounds reads them'
