"""Platt scaling: a slope and an intercept per horizon, so that predicted probabilities match frequencies.

Platt, "Probabilistic outputs for support vector machines" (1999); fitted by Newton's method. The events of one user are
correlated, so the effective sample size is the number of users (a design effect, Kish 1965), and a Gaussian prior
around the identity keeps a small validation part from overruling the model. With thousands of users it has no effect.
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
"""Standard deviations of the prior: of the slope around 1, and of the shift of the mean logit around 0."""
_MIN_SLOPE: Final = 0.05
"""Uninformative or reversed logits are scaled close to the base rate, in their order."""


def fit_calibration(
    logits: npt.NDArray[np.float64], bought: Booleans, known: Booleans, users: Integers | None = None
) -> Calibration:
    """Fit on validation data; all arrays are `(events, horizons)`, `users` is `(events,)`.

    Without users, each event counts as a user of its own. A horizon with only one class keeps its logits.
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
    """Return the slopes alone, around the mean of `logits` `(events, horizons)`, which stays as it is.

    For a model that was also trained on the calibration data, and so knows their level, but may be as overconfident as
    its predecessor.
    """
    pairs = zip(calibration.slopes, logits.mean(axis=0).tolist(), strict=True)
    return Calibration(
        slopes=calibration.slopes, intercepts=tuple(float(mean * (1.0 - slope)) for slope, mean in pairs)
    )


def _fit(logits: npt.NDArray[np.float64], bought: Booleans, sample_size: int) -> tuple[float, float]:
    """Return slope and intercept; the logits are centred, so that the slope does not move the level."""
    if not 0 < bought.sum() < len(bought):
        return 1.0, 0.0
    mean = logits.mean()
    inputs = np.stack([logits - mean, np.ones_like(logits)], axis=1)  # (events, 2)
    prior = np.array([1.0, mean])
    # Of the prior, for a likelihood that is averaged over the sample
    precision = np.array([_SLOPE_DEVIATION, _LEVEL_DEVIATION]) ** -2 / sample_size
    weights = prior.copy()
    for _ in range(_ITERATIONS):
        probability = 1.0 / (1.0 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (probability - bought) / len(bought) + precision * (weights - prior)
        variance = probability * (1 - probability)
        curvature = (inputs * variance[:, None]).T @ inputs / len(bought) + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < _TOLERANCE:
            break
    slope, level = float(weights[0]), float(weights[1])
    if slope < _MIN_SLOPE:
        slope, level = _MIN_SLOPE, float(np.log(bought.mean() / (1 - bought.mean())))
    return slope, float(level - slope * mean)
