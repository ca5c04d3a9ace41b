"""How a propensity leaves Cartcast: rounded, the same on the topic and in files."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_DECIMALS: Final = 6
_LEAST: Final = 1e-6
"""A propensity is never given as exactly 0 or 1, whose log loss would be infinite."""


def published(propensities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the numbers as they are published: six decimals, from 0.000001 to 0.999999."""
    return propensities.astype(np.float64).round(_DECIMALS).clip(_LEAST, 1 - _LEAST)
