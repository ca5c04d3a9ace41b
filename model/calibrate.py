"""Platt scaling: a slope and an intercept a horizon, so that a predicted tenth happens one time in ten.

Platt, "Probabilistic outputs for support vector machines" (1999); fitted by Newton's method.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from model.checkpoint import Calibration
from model.labels import Booleans

_ITERATIONS: Final = 50
_TOLERANCE: Final = 1e-10
_RIDGE: Final = 1e-6
"""Holds the slope where the labels could be separated, and would let it grow without end."""


def fit_calibration(logits: npt.NDArray[np.float64], bought: Booleans, known: Booleans) -> Calibration:
    """Fit on validation data; all arrays are `(events, horizons)`. A horizon with one class keeps its logits."""
    fitted = [
        _fit(logits[known[:, column], column], bought[known[:, column], column]) for column in range(logits.shape[1])
    ]
    return Calibration(
        slopes=tuple(slope for slope, _ in fitted), intercepts=tuple(intercept for _, intercept in fitted)
    )


def _fit(logits: npt.NDArray[np.float64], bought: Booleans) -> tuple[float, float]:
    if not 0 < bought.sum() < len(bought):
        return 1.0, 0.0
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)  # (events, 2)
    weights = np.array([1.0, 0.0])
    prior = np.array([1.0, 0.0])
    for _ in range(_ITERATIONS):
        probability = 1.0 / (1.0 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (probability - bought) / len(bought) + _RIDGE * (weights - prior)
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs / len(bought) + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < _TOLERANCE:
            break
    return (float(weights[0]), float(weights[1])) if weights[0] > 0 else (1.0, 0.0)
