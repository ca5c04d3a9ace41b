"""Which item of a shelf a shopper looks at: the one that suits their taste, and the item before.

    P(item | shelf, taste u, item before) ~ exp(popularity + TASTE * u . style + LIKENESS * style before . style)

over the items of the shelf that are for sale, without the item before. A taste lies near one of a few directions and
drifts from visit to visit. Which shelf it is (category and price level) is the process's business, which knows of no
tastes: times, types, words, prices' levels and true propensities are those of a simulation without.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.simulator import process
from model.simulator.catalogue import Catalogue
from model.simulator.population import ITEMLESS, NO_ITEM
from model.simulator.process import Symbol
from model.simulator.stock import Stock
from model.simulator.styles import DIMENSIONS, Styles

TASTE: Final = 5.0
LIKENESS: Final = 5.0
POPULARITY: Final = 0.5
"""Exponent: popularity falls with the rank on the shelf."""
GROUPS: Final = 8
APART: Final = 0.5
"""How far tastes of one group lie from its direction, which has length 1."""
DRIFT: Final = 0.1
"""How far a taste moves from one visit to the next."""
_SEED: Final = 20260108


FloatsOfAnySize: TypeAlias = npt.NDArray[np.floating]


class Tastes:
    """An `ItemChoice` by taste."""

    def __init__(self, catalogue: Catalogue, users: int, start_ms: int, random: np.random.Generator) -> None:
        self.catalogue, self.styles, self.stock = catalogue, Styles.drawn(catalogue), Stock(catalogue, start_ms)
        ranks = np.arange(len(catalogue.item_ids)) - catalogue.first_item[catalogue.shelf_of]
        self._popularity = -POPULARITY * np.log1p(ranks)
        self._random = random
        groups = _directions(np.random.default_rng(_SEED).normal(size=(GROUPS, DIMENSIONS)))
        self._centres = groups[random.integers(0, GROUPS, users)]
        self._tastes = _directions(self._centres + APART * self._noise(users))
        self._topics = np.zeros((users, len(catalogue.category_names)))
        self.hidden = np.dtype([("taste", np.float64, DIMENSIONS), ("topics", np.float32, self._topics.shape[1:])])

    def begin_visits(self, shoppers: Integers, favourites: Integers) -> None:
        """Let the shoppers' tastes drift, and be drawn back a little to where their group's lie."""
        moved = self._tastes[shoppers] + DRIFT * (self._noise(len(shoppers)) + DRIFT * self._centres[shoppers])
        self._tastes[shoppers] = _directions(moved)
        self._topics[shoppers] = 0
        np.add.at(self._topics, (shoppers[:, None], favourites), 1 / favourites.shape[1])

    def observe(self, shoppers: Integers, symbols: Integers, categories: Integers) -> None:
        """Update what the visit so far says of its category, by Bayes' rule: what is searched is of it for sure."""
        likelihood = np.ones((len(shoppers), self._topics.shape[1]))
        is_new, is_certain = symbols == Symbol.VIEW_NEW, np.isin(symbols, ITEMLESS)
        likelihood[is_new] = (1 - process.KEEPS_TO_FOCUS) / likelihood.shape[1]
        likelihood[is_new, categories[is_new]] += process.KEEPS_TO_FOCUS
        likelihood[is_certain] = 0
        likelihood[is_certain, categories[is_certain]] = 1
        topics = self._topics[shoppers] * likelihood
        self._topics[shoppers] = topics / topics.sum(axis=1, keepdims=True)

    def hidden_of(self, shoppers: Integers) -> npt.NDArray[np.void]:
        hidden = np.empty(len(shoppers), self.hidden)
        hidden["taste"], hidden["topics"] = self._tastes[shoppers], self._topics[shoppers]
        return hidden

    def draw(
        self, shoppers: Integers, shelves: Integers, before: Integers, time_ms: Integers, random: np.random.Generator
    ) -> Integers:
        """Draw an item from each shopper's shelf, with one random number each."""
        uniform, items, days = random.random(len(shoppers)), np.empty_like(shelves), self.stock.day_of(time_ms)
        for shelf in np.unique(shelves):
            rows = np.flatnonzero(shelves == shelf)
            part = slice(*self.catalogue.first_item[shelf : shelf + 2])
            for_sale = self.stock.for_sale(days[rows])
            reached = np.cumsum(self.weights(self._tastes[shoppers[rows]], before[rows], for_sale, part), axis=1)
            chosen = (reached <= uniform[rows, None] * reached[:, -1:]).sum(axis=1)
            items[rows] = part.start + chosen
        return items

    def weights(self, tastes: FloatsOfAnySize, before: Integers, for_sale: Booleans, part: slice) -> FloatsOfAnySize:
        """Return what the probability of some of the items is proportional to on each shelf `(n, items of the part)`.

        `tastes` are `(n, DIMENSIONS)`, items `before` `(n,)`, `for_sale` `(n, items)`. The result is as precise as the
        tastes.
        """
        styles, popularity = (column.astype(tastes.dtype) for column in (self.styles.styles, self._popularity[part]))
        has_before = before != NO_ITEM
        wanted = TASTE * tastes + LIKENESS * styles[before] * has_before[:, None]
        weights: FloatsOfAnySize = wanted @ styles[part].T
        weights += popularity
        np.exp(weights, out=weights)
        weights *= for_sale[:, part]
        inside = np.flatnonzero(has_before & (before >= part.start) & (before < part.stop))
        weights[inside, before[inside] - part.start] = 0.0
        return weights

    def _noise(self, count: int) -> Floats:
        return np.asarray(self._random.normal(size=(count, DIMENSIONS)) / np.sqrt(DIMENSIONS))


def _directions(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
