-- A merge that removes a doubled row makes the part's projections again, so that they always say what the table says.
ALTER TABLE scores MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'
