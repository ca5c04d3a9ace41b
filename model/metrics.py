"""Metrics of predicted probabilities, per horizon."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from model.arrays import Booleans, Floats
from model.ranking import DECISION_METRICS, METRICS, Ranking, losses_of

UNDECIDED: Final = 0.5
"""The threshold where no event is followed by a purchase, so that any is as good."""

ABSENT: Final = "-"
"""What a table shows where there is no value."""

Metrics = dict[str, float | int | None]


def evaluate(
    propensities: Floats,
    bought: Booleans,
    known: Booleans,
    horizons: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> dict[str, object]:
    """Return each horizon's metrics over its known labels; all arrays are `(events, horizons)`."""
    return {
        horizon: metrics_of(
            propensities[known[:, column], column],
            bought[known[:, column], column],
            None if thresholds is None else thresholds[column],
        )
        for column, horizon in enumerate(horizons)
    }


def metrics_of(propensities: Floats, bought: Booleans, threshold: float | None = None) -> Metrics:
    """Return the metrics of one horizon `(events,)`; what needs both classes is None where there is only one.

    Without a threshold there are no decisions, hence no accuracy, precision, recall and F1.
    """
    counts: Metrics = {"events": len(bought), "positives": int(bought.sum())}
    if not len(bought):
        return counts
    names = METRICS if threshold is not None else tuple(name for name in METRICS if name not in DECISION_METRICS)
    measured = dict(zip(METRICS, Ranking.of(propensities, bought, threshold=threshold).measure(), strict=True))
    return counts | {name: plain(measured[name]) for name in names}


def plain(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)


def log_loss(propensities: Floats, bought: Booleans) -> float:
    """Return the mean negative log likelihood."""
    return float(losses_of(propensities, bought).mean())


def best_threshold(propensities: Floats, bought: Booleans) -> float:
    """Return the threshold with the best F1 on these events `(events,)`: from it on, a purchase is expected.

    It lies halfway between two propensities, so that rounding on another machine changes no decision.
    """
    ranking = Ranking.of(propensities, bought)
    events, buyers = ranking.reached()
    if buyers[-1] == 0:
        return UNDECIDED
    best = int(np.argmax(2 * buyers[1:] / (events[1:] + buyers[-1])))
    distinct = np.append(ranking.propensities[ranking.ties], 0.0)
    return float((distinct[best] + distinct[best + 1]) / 2)


def best_thresholds(propensities: Floats, bought: Booleans, known: Booleans) -> list[float]:
    """Return each horizon's `best_threshold` over its known labels; all arrays are `(events, horizons)`."""
    return [best_threshold(propensities[mask, column], bought[mask, column]) for column, mask in enumerate(known.T)]


def number_text(value: float | None) -> str:
    """Return a count or a metric as a table shows it; `-` for None."""
    if value is None:
        return ABSENT
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
