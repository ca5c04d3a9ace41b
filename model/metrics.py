"""How good probabilities are, per horizon; scikit-learn does the arithmetic."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from model.labels import Booleans

Floats = npt.NDArray[np.float64]

ECE_BINS: Final = 20
_CLOSEST: Final = 1e-7
"""Probabilities nearer to 0 or 1 count as this near: one confident mistake must not make a log loss infinite."""


def evaluate(propensities: Floats, bought: Booleans, known: Booleans, horizons: Sequence[str]) -> dict[str, object]:
    """Return each horizon's metrics over its known labels; all arrays are `(events, horizons)`."""
    return {
        horizon: metrics_of(propensities[known[:, column], column], bought[known[:, column], column])
        for column, horizon in enumerate(horizons)
    }


def metrics_of(propensities: Floats, bought: Booleans) -> dict[str, float | int | None]:
    """Return the metrics of one horizon; what needs both classes is None where there is one only."""
    from sklearn import metrics  # noqa: PLC0415 - slow to import, and only training needs it

    positives = int(bought.sum())
    counts: dict[str, float | int | None] = {"events": len(bought), "positives": positives}
    if not len(bought):
        return counts
    clipped = np.clip(propensities, _CLOSEST, 1 - _CLOSEST)
    both = 0 < positives < len(bought)
    return counts | {
        "base_rate": positives / len(bought),
        "roc_auc": float(metrics.roc_auc_score(bought, propensities)) if both else None,
        "pr_auc": float(metrics.average_precision_score(bought, propensities)) if both else None,
        "log_loss": log_loss(clipped, bought),
        "brier": float(np.mean((propensities - bought) ** 2)),
        "ece": expected_calibration_error(propensities, bought),
    }


def log_loss(propensities: Floats, bought: Booleans) -> float:
    """Return the mean negative log likelihood."""
    clipped = np.clip(propensities, _CLOSEST, 1 - _CLOSEST)
    return float(-np.mean(np.where(bought, np.log(clipped), np.log1p(-clipped))))


def expected_calibration_error(propensities: Floats, bought: Booleans, bins: int = ECE_BINS) -> float:
    """Return the mean distance of probability and frequency over bins of equal counts.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning" (2015), with adaptive bins.
    """
    order = np.argsort(propensities, kind="stable")
    distances = [
        abs(float(propensities[part].mean()) - float(bought[part].mean())) * len(part)
        for part in np.array_split(order, bins)
        if len(part)
    ]
    return sum(distances) / len(order)
