"""What the simulated shop sells."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Floats, Integers
from model.simulator.process import PRICE_SHARES, Price
from model.simulator.vocabulary import category_names

ITEMS: Final = 10_000
FEWEST_ITEMS: Final = 200
"""Every shelf needs a few."""

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
    def drawn(cls, items: int = ITEMS) -> Self:
        """Draw the shelves' sizes and prices with a fixed seed: the shop is the same for all simulations."""
        random = np.random.default_rng(_SEED)
        names = category_names(language=0)
        shares = random.dirichlet(np.full(len(names), 4.0))[:, None] * PRICE_SHARES
        counts = 2 + random.multinomial(items - 2 * shares.size, shares.ravel())
        shelf_of = np.repeat(np.arange(shares.size), counts)
        low, high = np.log([PRICE_RANGES[price] for price in Price]).T[:, shelf_of % len(Price)]
        return cls(
            item_ids=[f"item-{number:05d}" for number in range(items)],
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

    def shelves_of(self, categories: Integers, prices: Integers) -> Integers:
        """Return the shelf of each category and `Price`."""
        return categories * len(Price) + prices


@dataclass(frozen=True, slots=True)
class Popularity:
    """An `ItemChoice` by popularity alone: all shoppers have the same taste."""

    catalogue: Catalogue
    hidden: ClassVar[np.dtype[np.void]] = np.dtype([])

    def hidden_of(self, shoppers: Integers) -> npt.NDArray[np.void]:
        return np.empty(len(shoppers), self.hidden)

    def begin_visits(self, shoppers: Integers, favourites: Integers) -> None:
        """Change nothing."""

    def observe(self, shoppers: Integers, symbols: Integers, categories: Integers) -> None:
        """Learn nothing."""

    def draw(
        self, _shoppers: Integers, shelves: Integers, before: Integers, _time_ms: Integers, random: np.random.Generator
    ) -> Integers:
        """Draw an item from each shelf, popular ones more often, but not the one before."""
        first, stop = self.catalogue.first_item[shelves], self.catalogue.first_item[shelves + 1]
        items = first + ((stop - first) * random.random(len(shelves)) ** _POPULARITY).astype(np.int64)
        next_on_shelf = np.where(items + 1 == stop, first, items + 1)
        return np.asarray(np.where(items == before, next_on_shelf, items))
