"""What the simulated shop sells."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Floats, Integers
from model.simulator.process import PRICE_SHARES, Price
from model.simulator.vocabulary import category_names

ITEMS: Final = 10_000

PRICE_RANGES: Final = {Price.ORDINARY: (4.0, 30.0), Price.PREMIUM: (120.0, 900.0)}
"""Log-uniform. Between them costs nothing, so a price tells which it is."""
_POPULARITY: Final = 1.6
"""Exponent: an item's rank on its shelf is count * uniform ** _POPULARITY."""
_SEED: Final = 20260105


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Items by number, sorted by category and price; those of one category and one price lie on one shelf."""

    item_ids: list[str]
    shelf_of: Integers
    """`(items,)`"""
    category_names: list[str]
    first_item: Integers
    """`(shelves + 1,)`: shelf s has the items first_item[s] to first_item[s + 1] - 1, the most popular first."""
    prices: Floats

    @classmethod
    def drawn(cls) -> Self:
        """Draw the shelves' sizes and prices with a fixed seed: the shop is the same for all simulations."""
        random = np.random.default_rng(_SEED)
        names = category_names(language=0)
        shares = random.dirichlet(np.full(len(names), 4.0))[:, None] * PRICE_SHARES
        counts = 2 + random.multinomial(ITEMS - 2 * shares.size, shares.ravel())
        shelf_of = np.repeat(np.arange(shares.size), counts)
        low, high = np.log([PRICE_RANGES[price] for price in Price]).T[:, shelf_of % len(Price)]
        return cls(
            item_ids=[f"item-{number:05d}" for number in range(ITEMS)],
            shelf_of=shelf_of,
            category_names=names,
            first_item=np.concatenate(([0], np.cumsum(counts))),
            prices=np.exp(random.uniform(low, high)).round(2),
        )

    def categories_of(self, items: Integers) -> Integers:
        """Return the numbers of items' categories."""
        return np.asarray(self.shelf_of[items] // len(Price))

    def prices_of(self, items: Integers) -> Integers:
        """Return the price level of items, as `Price`."""
        return np.asarray(self.shelf_of[items] % len(Price))

    def draw_items(
        self, categories: Integers, prices: Integers, not_items: Integers, random: np.random.Generator
    ) -> Integers:
        """Draw an item for each category and `Price`, popular ones more often, but not `not_items`."""
        shelves = categories * len(Price) + prices
        first, stop = self.first_item[shelves], self.first_item[shelves + 1]
        items = first + ((stop - first) * random.random(len(shelves)) ** _POPULARITY).astype(np.int64)
        next_on_shelf = np.where(items + 1 == stop, first, items + 1)
        return np.asarray(np.where(items == not_items, next_on_shelf, items))
