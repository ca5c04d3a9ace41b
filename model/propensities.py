"""How a propensity leaves Cartcast, the same on the topic and in files, and its log-odds."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.arrays import Floats

_DECIMALS: Final = 6
_DECIMALS_OF_MONEY: Final = 4
MIN_PROPENSITY: Final = 1e-6
"""A propensity is never given as exactly 0 or 1, whose log loss would be infinite."""


def published(propensities: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return propensities as they are published: six decimals, from 0.000001 to 0.999999."""
    return propensities.astype(np.float64).round(_DECIMALS).clip(MIN_PROPENSITY, 1 - MIN_PROPENSITY)


def published_values(values: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return expected values of money as they are published: four decimals."""
    return np.asarray(values.astype(np.float64).round(_DECIMALS_OF_MONEY))


def log_odds(propensities: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return log(p / (1 - p)) of propensities within the published range; NaN stays NaN."""
    clipped = np.clip(propensities.astype(np.float64), MIN_PROPENSITY, 1 - MIN_PROPENSITY)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
