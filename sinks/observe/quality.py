"""How good scores are, from counts in bins: the figures of the views, over a window of any length."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

BINS: Final = 20


class LogitBin(NamedTuple):
    """Scores whose propensities are about equal."""

    scores: int
    purchases: int
    sum_propensity: float


def population_stability(found: Sequence[int], reference: Sequence[int]) -> float:
    """Return the population stability index of two histograms of the same bins.

    Siddiqi, Credit Risk Scorecards, 2006. As in the view score_drift, half a score is added to every bin, so that an
    empty one has no infinite weight.
    """
    shares = zip(_shares(found), _shares(reference), strict=True)
    return sum((p - q) * math.log(p / q) for p, q in shares)


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + len(counts) / 2
    return [(count + 0.5) / total for count in counts]


def calibration_error(bins: Sequence[LogitBin]) -> float:
    """Return the expected calibration error: mean distance of mean propensity and purchase rate over about 20 bins.

    `bins` rise; neighbours are joined until each of the 20 has about equally many scores, as in online_evaluation.
    """
    total, below = sum(each.scores for each in bins), 0
    numbered = []
    for each in bins:
        numbered.append((int(BINS * (below + each.scores / 2) / total), each))
        below += each.scores
    joined = groupby(numbered, key=lambda pair: pair[0])
    misses = (sum(each.sum_propensity - each.purchases for _, each in group) for _, group in joined)
    return sum(abs(miss) for miss in misses) / total
