-- A model need not have the three standard horizons: a propensity that a score lacks is NaN, which every view keeps
-- apart because it keeps models apart. Only rules change, no data is rewritten.
ALTER TABLE scores
    DROP CONSTRAINT IF EXISTS propensity_session,
    DROP CONSTRAINT IF EXISTS propensity_1h,
    DROP CONSTRAINT IF EXISTS propensity_24h,
    ADD CONSTRAINT propensity_session CHECK isNaN(propensity_session) OR propensity_session BETWEEN 0 AND 1,
    ADD CONSTRAINT propensity_1h CHECK isNaN(propensity_1h) OR propensity_1h BETWEEN 0 AND 1,
    ADD CONSTRAINT propensity_24h CHECK isNaN(propensity_24h) OR propensity_24h BETWEEN 0 AND 1
