"""When the items of the simulated shop are there: some arrive later, and most are out of stock now and then.

What is for sale changes at 0:00 of the simulation's days, so that it stays the same during a visit.
"""

from typing import Final

import numpy as np

from model.arrays import Booleans, Integers
from model.simulator.catalogue import Catalogue

NEW_SHARE: Final = 0.2
NEW_DAYS: Final = 28
"""New items arrive on one of the first so many days."""
RUNS_OUT_A_DAY: Final = 0.03
COMES_BACK_A_DAY: Final = 0.3
_ALWAYS_THERE: Final = 2
"""The first items of every shelf, so that there is always another one to look at."""
_DAY_MS: Final = 86_400_000
_SEED: Final = 20260107


class Stock:
    """Which items are for sale on each day, the same for all simulations."""

    def __init__(self, catalogue: Catalogue, start_ms: int) -> None:
        self._start_ms = start_ms
        self._random = np.random.default_rng(_SEED)
        items = np.arange(len(catalogue.item_ids))
        self._is_always_there = items - catalogue.first_item[catalogue.shelf_of] < _ALWAYS_THERE
        is_new = (self._random.random(len(items)) < NEW_SHARE) & ~self._is_always_there
        self.arrival_days = np.where(is_new, self._random.integers(1, NEW_DAYS + 1, len(items)), 0)
        """The day on which each item arrives `(items,)`, 0 for those that are there from the start."""
        self._days = [np.ones(len(items), np.bool_)]

    def day_of(self, time_ms: Integers) -> Integers:
        """Return the day of times, from 0."""
        return (time_ms - self._start_ms) // _DAY_MS

    def start_of(self, day: int) -> int:
        """Return the time at which a day begins."""
        return self._start_ms + day * _DAY_MS

    def for_sale(self, days: Integers) -> Booleans:
        """Return which items have arrived and are in stock `(days, items)`."""
        last = int(days.max(initial=0))
        while len(self._days) <= last:
            self._days.append(self._next(self._days[-1]))
        distinct, places = np.unique(days, return_inverse=True)
        found = np.stack([self._days[day] & (self.arrival_days <= day) for day in distinct.tolist() or [0]])
        return found[places]

    def _next(self, in_stock: Booleans) -> Booleans:
        uniform = self._random.random(len(in_stock))
        return np.where(in_stock, uniform >= RUNS_OUT_A_DAY, uniform < COMES_BACK_A_DAY) | self._is_always_there
