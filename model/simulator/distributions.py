"""What the process draws from: categories, and the times between a shopper's events.

Times between events of a visit are log-logistic, truncated at both ends.
"""

from typing import Final

import numpy as np

from model.arrays import Floats, Integers
from model.simulator.process import LONGEST_GAP_S, SHORTEST_GAP_S

_ENDS_S: Final = (np.float64(SHORTEST_GAP_S), np.float64(LONGEST_GAP_S))


def draw_indices(distributions: Floats, random: np.random.Generator) -> Integers:
    """Draw an index from each row `(n, outcomes)`."""
    uniform = random.random(len(distributions))[:, None]
    drawn = (uniform > np.cumsum(distributions, axis=1)[:, :-1]).sum(axis=1)
    return np.asarray(drawn, np.int64)


def gap_cdf(seconds: Floats, median_s: Floats, shape: Floats) -> Floats:
    """Return the distribution function of gaps."""
    low, high = (_log_logistic_cdf(end, median_s, shape) for end in _ENDS_S)
    return np.asarray(np.clip((_log_logistic_cdf(seconds, median_s, shape) - low) / (high - low), 0.0, 1.0))


def gap_density(seconds: Floats, median_s: Floats, shape: Floats) -> Floats:
    """Return the density of `gap_cdf`."""
    low, high = (_log_logistic_cdf(end, median_s, shape) for end in _ENDS_S)
    power = (seconds / median_s) ** shape
    return np.asarray(shape * power / (seconds * (1.0 + power) ** 2) / (high - low))


def draw_gaps_s(uniform: Floats, median_s: Floats, shape: Floats) -> Floats:
    """Turn uniform numbers into gaps (the inverse of `gap_cdf`)."""
    low, high = (_log_logistic_cdf(end, median_s, shape) for end in _ENDS_S)
    share = low + uniform * (high - low)
    return np.asarray(median_s * (share / (1.0 - share)) ** (1.0 / shape))


def _log_logistic_cdf(seconds: Floats | np.float64, median_s: Floats, shape: Floats) -> Floats:
    power = (seconds / median_s) ** shape
    return np.asarray(power / (1.0 + power))
