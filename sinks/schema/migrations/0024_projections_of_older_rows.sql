-- In the background; until it is through, views read older parts row by row.
ALTER TABLE scores
    MATERIALIZE PROJECTION by_hour,
    MATERIALIZE PROJECTION by_minute,
    MATERIALIZE PROJECTION by_category,
    MATERIALIZE PROJECTION by_shopper,
    MATERIALIZE PROJECTION by_scoring_minute,
    MATERIALIZE PROJECTION by_source,
    MATERIALIZE PROJECTION seen_by_hour,
    MATERIALIZE PROJECTION by_time
