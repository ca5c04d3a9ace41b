"""How values are distributed, as Prometheus reads a histogram."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt


class Distribution:
    """How many values were at most each of some bounds; one thread adds, any thread reads."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the bounds, rising."""
        self.total = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def add_all(self, values: npt.NDArray[np.floating[Any]]) -> None:
        """Add many values for about the price of one."""
        found = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        for place in np.flatnonzero(found).tolist():
            self._counts[place] += int(found[place])
        self.total += float(values.sum())

    def buckets(self) -> list[tuple[str, int]]:
        """Return how many values were at most each bound, by the bound as Prometheus writes it; the last is `+Inf`."""
        bounds = [*(f"{float(bound)!r}" for bound in self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts.copy()), strict=True))
