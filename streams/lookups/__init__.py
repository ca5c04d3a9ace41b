"""The look-up API of a worker: one shopper's propensities, and why they are what they are."""
