"""One horizon's events ranked by propensity, and every metric as a function of the events' weights.

Sorting is the expensive part and is done once. A bootstrap resample of users is then one weight per event, and costs a
few cumulative sums; no matrix products, whose threads would only wait for each other. With weights of one the values
are scikit-learn's, which a test checks.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Booleans, Floats, Integers

SHARES_PERCENT: Final = (1, 5, 10)
"""Shares of the events, those with the highest propensities, for lift and gain."""
RANKING_METRICS: Final = ("base_rate", "roc_auc", "pr_auc", "log_loss", "brier", "ece")
DECISION_METRICS: Final = ("accuracy", "precision", "recall", "f1")
SHARE_METRICS: Final = tuple(f"{name}_{share}_percent" for name in ("lift", "gain") for share in SHARES_PERCENT)
METRICS: Final = (*RANKING_METRICS, *DECISION_METRICS, *SHARE_METRICS)
"""What `Ranking.measure` returns, in order."""

LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})

ECE_BINS: Final = 20
_MIN_PROBABILITY: Final = 1e-7
"""Probabilities are clipped to this distance from 0 and 1: one confident mistake must not make a log loss infinite."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Events `(n,)`, the highest propensity first."""

    propensities: Floats
    bought: Booleans
    users: Integers
    """The index of each event's user in a resample's counts per user."""
    losses: Floats
    """Negative log likelihoods."""
    ties: Integers
    """The last position of each distinct propensity."""
    bins: Integers
    """The first position of each bin of the calibration error: ECE_BINS of about equal counts."""
    chosen: int | None
    """How many distinct propensities reach the threshold; None without one."""

    @classmethod
    def of(
        cls,
        propensities: Floats,
        bought: Booleans,
        users: Integers | None = None,
        threshold: float | None = None,
    ) -> Self:
        """Rank `(n,)` events; from the threshold on a purchase is expected."""
        order = np.argsort(-propensities, kind="stable")
        ordered = propensities[order].astype(np.float64)
        ties = np.flatnonzero(np.append(np.diff(ordered) != 0, [True] * bool(len(ordered))))
        return cls(
            propensities=ordered,
            bought=bought[order],
            users=(np.arange(len(order)) if users is None else users)[order],
            losses=losses_of(ordered, bought[order]),
            ties=ties,
            bins=np.unique(np.arange(ECE_BINS) * len(order) // ECE_BINS),
            chosen=None if threshold is None else int((ordered[ties] >= threshold).sum()),
        )

    def __len__(self) -> int:
        return len(self.bought)

    def reached(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return the cumulative weight of all events and of the positive ones, down to each distinct propensity.

        Both are `(distinct + 1,)` and start with 0.
        """
        each = np.ones(len(self)) if weights is None else weights
        events = np.concatenate(([0.0], np.cumsum(each)[self.ties]))
        buyers = np.concatenate(([0.0], np.cumsum(each * self.bought)[self.ties]))
        return events, buyers

    def measure(self, weights: Floats | None = None) -> Floats:
        """Return the values of METRICS `(len(METRICS),)`; NaN where undefined, such as ROC AUC with one class.

        The expected calibration error is Naeini et al., "Obtaining well calibrated probabilities using Bayesian
        binning" (2015), with bins of about equal counts.
        """
        each = np.ones(len(self)) if weights is None else weights
        events, buyers = self.reached(each)
        total, positives = events[-1], buyers[-1]
        if total == 0:
            return np.full(len(METRICS), np.nan)
        misses = self.propensities - self.bought
        return np.array(
            [
                positives / total,
                *_areas(events, buyers),
                (each * self.losses).sum() / total,
                (each * misses * misses).sum() / total,
                np.abs(np.add.reduceat(each * misses, self.bins)).sum() / total,
                *self._decisions(events, buyers),
                *_shares(events, buyers),
            ]
        )

    def _decisions(self, events: Floats, buyers: Floats) -> tuple[float, ...]:
        if self.chosen is None:
            return (np.nan,) * len(DECISION_METRICS)
        flagged, found, total, positives = events[self.chosen], buyers[self.chosen], events[-1], buyers[-1]
        return (
            (found + total - positives - (flagged - found)) / total,
            _ratio(found, flagged),
            _ratio(found, positives),
            _ratio(2 * found, flagged + positives),
        )


def losses_of(propensities: Floats, bought: Booleans) -> Floats:
    """Return the negative log-likelihood of each event."""
    clipped = np.clip(propensities, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    return np.asarray(-np.where(bought, np.log(clipped), np.log1p(-clipped)))


def _areas(events: Floats, buyers: Floats) -> tuple[float, float]:
    """Return ROC AUC (trapezoidal) and PR AUC (average precision, without interpolation)."""
    positives, others = buyers[-1], events - buyers
    if not 0 < positives < events[-1]:
        return np.nan, np.nan
    precision = np.divide(buyers[1:], events[1:], out=np.zeros(len(events) - 1), where=events[1:] > 0)
    roc_auc = np.trapezoid(buyers, others) / (positives * others[-1])
    return float(roc_auc), float((np.diff(buyers) * precision).sum() / positives)


def _shares(events: Floats, buyers: Floats) -> Floats:
    """Return lift and gain of SHARES_PERCENT; ties at the edge of a share count in proportion."""
    shares = np.array(SHARES_PERCENT) / 100
    if buyers[-1] == 0:
        return np.full(2 * len(shares), np.nan)
    gains = np.interp(shares * events[-1], events, buyers) / buyers[-1]
    return np.concatenate((gains / shares, gains))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan
