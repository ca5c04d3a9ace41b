-- What training learns from beside the other columns, so that a history from this table teaches the same as the events.
ALTER TABLE scores
    ADD COLUMN IF NOT EXISTS quantity Nullable(Float64) COMMENT 'units; NULL if the event has none' CODEC(ZSTD(1)) AFTER price,
    ADD COLUMN IF NOT EXISTS rating Nullable(Float64) COMMENT 'stars of a review; NULL if the event has none' CODEC(ZSTD(1)) AFTER quantity,
    ADD COLUMN IF NOT EXISTS text String COMMENT 'what the shopper wrote or searched for, its first 2,000 characters; empty if the event has none' CODEC(ZSTD(1)) AFTER rating
