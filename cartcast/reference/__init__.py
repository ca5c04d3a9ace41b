"""Files of `docs/` that are written by code, from what the code declares: contracts, and pages of reference."""
