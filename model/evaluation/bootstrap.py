"""How far a metric can be trusted: intervals from drawing users anew, with replacement.

Users are drawn, not events, because one user's events resemble each other (Davison and Hinkley, "Bootstrap methods and
their application", 1997, section 3.8). All models are measured on the same draws, so that a difference between two of
them has an interval of its own, which is much narrower than theirs.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from model.ranking import METRICS, Floats, Ranking
from model.training.labels import Integers

COVERED: Final = 0.95
_LEAST_REPLICAS: Final = 20
"""Fewer finite values tell no 95 % interval."""


def numbered(users: Integers) -> tuple[Integers, int]:
    """Give users numbers from 0 without gaps; return each event's number and how many users there are."""
    distinct, numbers = np.unique(users, return_inverse=True)
    return numbers.astype(np.int64), len(distinct)


def replicate(rankings: Sequence[Ranking], users: int, replicas: int, seed: int) -> Floats:
    """Measure each ranking on each draw of users `(replicas, rankings, len(METRICS))`; the same seed, the same draws.

    The rankings' users are numbers from 0 to `users` - 1. One user alone cannot be drawn anew: no replicas.
    """
    random = np.random.default_rng(seed)
    values = np.empty((replicas if users > 1 else 0, len(rankings), len(METRICS)))
    for replica in range(len(values)):
        drawn = np.bincount(random.integers(users, size=users), minlength=users).astype(np.float64)
        for position, ranking in enumerate(rankings):
            values[replica, position] = ranking.measure(drawn[ranking.users])
    return values


def interval(values: Floats) -> tuple[float, float] | None:
    """Return the middle 95 % of replicas `(replicas,)`; None if too few of them could be measured."""
    finite = values[np.isfinite(values)]
    if len(finite) < max(_LEAST_REPLICAS, len(values) // 2):
        return None
    low, high = np.quantile(finite, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)
