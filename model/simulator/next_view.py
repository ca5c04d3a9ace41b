"""The true probability of the next viewed item, given that one more view follows on the visit.

It is what somebody knows who sees into the shopper as they are right after an event: segment, mood, taste, the item
looked at last and the one in the cart, and the categories that the shopper likes. Which of these the visit is about is
what its events say of it, by Bayes' rule. So no model that sees only events can know more. It is exact, but for the few
visits that go past the hour at which what is for sale changes.

Until the next view moods move on, and what is looked at may become what lies in the cart (who removes or buys it looks
at it). So an absorbing chain on the pairs of mood and place, where `place` says which of the two items is looked at and
which is in the cart; it is absorbed in a view of the same item again or of a new one, which the moods of `UNDECIDED`
keep to the same price level. What leaves the visit is left out: the rest is divided by its sum.
"""

from enum import IntEnum
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from model.arrays import Floats, Integers
from model.simulator import process
from model.simulator.population import NO_ITEM
from model.simulator.process import Mood, Price, Segment, Symbol
from model.simulator.tastes import FloatsOfAnySize, Tastes


class Place(IntEnum):
    """Which of the two items that were looked at last, and in the cart, at the event are so now."""

    AS_BEFORE = 0
    LOOKED_AT = 1  # the item that was looked at is in the cart, too
    IN_CART = 2  # the item in the cart is looked at, too


class View(IntEnum):
    """What the next view may be."""

    AGAIN = 0
    NEW = 1
    NEW_SAME_PRICE = 2


_ITEMS: Final = 2  # looked at, in the cart
_MOVES_TO: Final = {
    Symbol.CART: (Place.LOOKED_AT, Place.LOOKED_AT, Place.IN_CART),
    **dict.fromkeys((Symbol.REMOVE, Symbol.CHECKOUT, Symbol.PURCHASE), (Place.IN_CART, Place.LOOKED_AT, Place.IN_CART)),
}
"""By place: where an event of a symbol leads to; all others leave it."""


@cache
def view_shares() -> Floats:
    """Return P(the visit's next view is such, of such an item, or after it).

    `(segment, price looked at, price in the cart, mood, item, view)`, sums of at most 1; item 0 is the one looked at at
    the event, item 1 the one in the cart.
    """
    shares = np.zeros((len(Segment), len(Price), len(Price), len(Mood), _ITEMS, len(View)))
    for segment in Segment:
        for looked_at in Price:
            for in_cart in Price:
                shares[segment, looked_at, in_cart] = _solved(segment, (looked_at, looked_at, in_cart))
    return shares


def _solved(segment: Segment, prices: tuple[Price, Price, Price]) -> Floats:
    """Solve the chain with the price that is looked at in each place; returns `(mood, item, view)`."""
    states = len(Mood), len(Place)
    onward = np.zeros((*states, *states))
    views = np.zeros((*states, _ITEMS, len(View)))
    shows = process.SHOWS[segment]  # (mood, symbol)
    for place in Place:
        steps = process.STEPS[segment, prices[place], :, : len(Mood)]  # (mood, next mood)
        item = int(place == Place.IN_CART)
        again, new = steps * shows[:, Symbol.VIEW_AGAIN], steps * shows[:, Symbol.VIEW_NEW]
        views[:, place, item, View.AGAIN] = again.sum(axis=1)
        views[:, place, item, View.NEW_SAME_PRICE] = new[:, Mood.UNDECIDED]
        views[:, place, item, View.NEW] = new.sum(axis=1) - new[:, Mood.UNDECIDED]
        for symbol in set(Symbol) - {Symbol.VIEW_AGAIN, Symbol.VIEW_NEW}:
            onward[:, place, :, _MOVES_TO.get(symbol, tuple(Place))[place]] += steps * shows[:, symbol]
    size = len(Mood) * len(Place)
    solved = np.linalg.solve(np.eye(size) - onward.reshape(size, size), views.reshape(size, -1))
    return np.asarray(solved.reshape(views.shape)[:, Place.AS_BEFORE])


class NextView:
    """Computes the true probabilities."""

    def __init__(self, tastes: Tastes) -> None:
        self._tastes, self._catalogue = tastes, tastes.catalogue

    def probabilities(self, hidden: npt.NDArray[np.void], time_ms: Integers) -> npt.NDArray[np.float32]:
        """Return P(item | one more view follows) after some events `(events, items)`.

        `hidden` is `(events,)` of `hidden_dtype`.
        """
        items = np.stack((hidden["item"], hidden["cart_item"]), axis=1).astype(np.int64)  # (events, 2)
        prices = self._catalogue.prices_of(items)
        shares = view_shares()[hidden["segment"], prices[:, 0], prices[:, 1], hidden["mood"]]  # (events, item, view)
        shares = shares / shares.sum(axis=(1, 2), keepdims=True)
        found = np.zeros((len(hidden), len(self._catalogue.item_ids)), np.float32)
        for_sale = self._tastes.stock.for_sale(self._tastes.stock.day_of(time_ms))
        for column in range(_ITEMS):
            rows = np.flatnonzero((shares[:, column].sum(axis=1) > 0) & (items[:, column] != NO_ITEM))
            before, share = items[rows, column], shares[rows, column]
            new = self._new(hidden[rows], before, prices[rows, column], share[:, View.NEW :], for_sale[rows])
            found[rows] += new
            found[rows, before] += share[:, View.AGAIN]
        return found

    def likeliest(self, hidden: npt.NDArray[np.void], time_ms: Integers, count: int) -> Integers:
        """Return the items that are most likely viewed next, the likeliest first `(events, count)`."""
        shares = self.probabilities(hidden, time_ms)
        first = np.argpartition(-shares, count, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(shares, first, axis=1), axis=1)
        return np.asarray(np.take_along_axis(first, order, axis=1))

    def _new(
        self,
        hidden: npt.NDArray[np.void],
        before: Integers,
        prices: Integers,
        shares: Floats,
        for_sale: npt.NDArray[np.bool_],
    ) -> FloatsOfAnySize:
        """Return the part of views of a new item `(events, items)`; `shares` `(events, 2)`: any price, the same."""
        catalogue, rows = self._catalogue, np.arange(len(before))
        topics = hidden["choice"]["topics"]
        categories = process.KEEPS_TO_FOCUS * topics + (1 - process.KEEPS_TO_FOCUS) / topics.shape[1]
        levels = shares[:, :1] * process.PRICE_SHARES
        levels[rows, prices] += shares[:, 1]
        on_shelf = (categories[:, :, None] * levels[:, None, :]).reshape(
            len(before), categories.shape[1] * len(Price)
        )  # (events, shelves)
        tastes = hidden["choice"]["taste"].astype(np.float32)
        weights = self._tastes.weights(tastes, before, for_sale, slice(0, len(catalogue.item_ids)))
        for shelf, (first, stop) in enumerate(pairwise(catalogue.first_item)):
            part = weights[:, first:stop]
            part *= (on_shelf[:, shelf] / part.sum(axis=1)).astype(np.float32)[:, None]
        return weights
