"""Platt scaling: a slope and an intercept a horizon, so that a predicted tenth happens one time in ten.

Platt, "Probabilistic outputs for support vector machines" (1999); fitted by Newton's method. The events of one user
stand or fall together, so they weigh as much as one: the likelihood counts users (a design effect, Kish 1965), and a
prior that trusts the model keeps a small validation part from overruling it. Thousands of users make it irrelevant.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Integers
from model.checkpoint import Calibration

_ITERATIONS: Final = 50
_TOLERANCE: Final = 1e-10
_SLOPE_DEVIATION: Final = 0.25
_LEVEL_DEVIATION: Final = 0.5
"""Of the prior: how far from 1 the slope, and from 0 the shift of the mean logit, are expected to be."""
_LEAST_SLOPE: Final = 0.05
"""Logits that say nothing, or the contrary, come close to the base rate, and keep their order."""


def fit_calibration(
    logits: npt.NDArray[np.float64], bought: Booleans, known: Booleans, users: Integers | None = None
) -> Calibration:
    """Fit on validation data; all arrays are `(events, horizons)`, but for the `users` of the events.

    Without users, each event counts as one. A horizon with one class keeps its logits.
    """
    fitted = [
        _fit(
            logits[mask, column],
            bought[mask, column],
            int(mask.sum()) if users is None else len(np.unique(users[mask])),
        )
        for column, mask in enumerate(known.T)
    ]
    return Calibration(
        slopes=tuple(slope for slope, _ in fitted), intercepts=tuple(intercept for _, intercept in fitted)
    )


def slopes_only(calibration: Calibration, logits: npt.NDArray[np.float64]) -> Calibration:
    """Return the slopes alone, around the mean of `logits` `(events, horizons)`: the level is left as it is.

    For a model that has learnt the time on which the calibration was fitted, and so its level, but may be as sure of
    itself as its predecessor.
    """
    pairs = zip(calibration.slopes, logits.mean(axis=0).tolist(), strict=True)
    return Calibration(
        slopes=calibration.slopes, intercepts=tuple(float(mean * (1.0 - slope)) for slope, mean in pairs)
    )


def _fit(logits: npt.NDArray[np.float64], bought: Booleans, independent: int) -> tuple[float, float]:
    """Return slope and intercept; the mean logit is kept apart, so that the slope does not move the level."""
    if not 0 < bought.sum() < len(bought):
        return 1.0, 0.0
    mean = logits.mean()
    inputs = np.stack([logits - mean, np.ones_like(logits)], axis=1)  # (events, 2)
    prior = np.array([1.0, mean])
    doubt = np.array([_SLOPE_DEVIATION, _LEVEL_DEVIATION]) ** -2 / independent
    weights = prior.copy()
    for _ in range(_ITERATIONS):
        probability = 1.0 / (1.0 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (probability - bought) / len(bought) + doubt * (weights - prior)
        variance = probability * (1 - probability)
        curvature = (inputs * variance[:, None]).T @ inputs / len(bought) + np.diag(doubt)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < _TOLERANCE:
            break
    slope, level = float(weights[0]), float(weights[1])
    if slope < _LEAST_SLOPE:
        slope, level = _LEAST_SLOPE, float(np.log(bought.mean() / (1 - bought.mean())))
    return slope, float(level - slope * mean)
