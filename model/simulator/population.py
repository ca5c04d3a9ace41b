"""All shoppers at once: each round draws the next event of everybody who is due."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.simulator import process, rhythm
from model.simulator.catalogue import Catalogue
from model.simulator.process import Floats, Memory, Mood, Symbol

Integers = npt.NDArray[np.int64]

_KEEPS_TO_FOCUS = 0.75
_OF_THE_CART = [Symbol.REMOVE, Symbol.CHECKOUT, Symbol.PURCHASE, Symbol.REVIEW_GOOD, Symbol.REVIEW_BAD, Symbol.REFUND]
_ITEMLESS = [Symbol.SEARCH_IDLE, Symbol.SEARCH_EAGER, Symbol.OTHER]
NO_ITEM = -1


@dataclass(frozen=True, slots=True)
class Happened:
    """Events as columns, one element an event; one round holds at most one event of a shopper."""

    shoppers: Integers
    time_ms: Integers
    symbols: Integers
    items: Integers
    """NO_ITEM for none."""
    categories: Integers
    truth: Floats
    """`(events, horizons)` true propensities, or `(events, 0)`."""


class Observer(Protocol):
    """Watches every event of every shopper in order and says what it means for the future."""

    def observe(self, shoppers: Integers, time_ms: Integers, symbols: Integers, is_first_of_visit: Integers) -> Floats:
        """Return `(events, horizons)`."""
        ...


class Blind:
    """The observer that computes nothing."""

    def observe(
        self,
        shoppers: Integers,
        time_ms: Integers,  # noqa: ARG002 - it looks at nothing
        symbols: Integers,  # noqa: ARG002
        is_first_of_visit: Integers,  # noqa: ARG002
    ) -> Floats:
        return np.empty((len(shoppers), 0))


class Population:
    """The shoppers' hidden state; `advance` lets them live until a time and returns what they did."""

    def __init__(
        self, users: int, start_ms: int, catalogue: Catalogue, random: np.random.Generator, observer: Observer
    ) -> None:
        self._random = random
        self._catalogue = catalogue
        self._observer = observer
        self.segments = random.choice(len(process.Segment), users, p=process.SEGMENT_SHARES)
        self._favourites = random.integers(0, len(catalogue.category_names), (users, 3))
        self._focus = self._favourites[:, 0].copy()
        self._item = catalogue.draw_items(self._focus, random)  # seen before we began to look
        self._cart_item = self._item.copy()
        # What comes next for each shopper is always drawn already:
        self._next_ms = np.full(users, start_ms)
        self._next_mood = np.zeros(users, np.int64)
        self._next_is_first = np.ones(users, np.int64)
        self._return(np.arange(users), np.full(users, Memory.COLD, np.int64))
        self._let_newcomers_wait(start_ms)

    def advance(self, end_ms: int) -> Happened:
        """Return everything that happens before `end_ms`, in no particular order."""
        rounds = [_nothing(self._observer)]
        due = np.flatnonzero(self._next_ms < end_ms)
        while len(due):
            rounds.append(self._round(due))
            due = due[self._next_ms[due] < end_ms]
        return Happened(
            *(np.concatenate([getattr(one, column) for one in rounds]) for column in Happened.__dataclass_fields__)
        )

    def _round(self, due: Integers) -> Happened:
        time_ms, moods, is_first = self._next_ms[due], self._next_mood[due], self._next_is_first[due]
        self._choose_focus(due[is_first == 1])
        symbols = _draw(process.SHOWS[self.segments[due], moods], self._random)
        items, categories = self._items_of(due, symbols)
        truth = self._observer.observe(due, time_ms, symbols, is_first)
        self._draw_next(due, moods)
        return Happened(due, time_ms, symbols, items, categories, truth)

    def _choose_focus(self, shoppers: Integers) -> None:
        choice = self._random.integers(0, self._favourites.shape[1], len(shoppers))
        self._focus[shoppers] = self._favourites[shoppers, choice]

    def _items_of(self, shoppers: Integers, symbols: Integers) -> tuple[Integers, Integers]:
        """Return each event's item and category, and remember what is looked at and what lies in the cart."""
        looks_at_new = symbols == Symbol.VIEW_NEW
        self._item[shoppers[looks_at_new]] = self._new_items(shoppers[looks_at_new])
        carts = shoppers[symbols == Symbol.CART]
        self._cart_item[carts] = self._item[carts]
        items = np.where(np.isin(symbols, _OF_THE_CART), self._cart_item[shoppers], self._item[shoppers])
        self._item[shoppers] = items
        itemless = np.isin(symbols, _ITEMLESS)
        categories = np.where(itemless, self._focus[shoppers], self._catalogue.category_of[items])
        return np.where(itemless, NO_ITEM, items), categories

    def _new_items(self, shoppers: Integers) -> Integers:
        keeps = self._random.random(len(shoppers)) < _KEEPS_TO_FOCUS
        anything = self._random.integers(0, len(self._catalogue.category_names), len(shoppers))
        items = self._catalogue.draw_items(np.where(keeps, self._focus[shoppers], anything), self._random)
        return np.where(items == self._item[shoppers], (items + 1) % len(self._catalogue.item_ids), items)

    def _draw_next(self, shoppers: Integers, moods: Integers) -> None:
        segments = self.segments[shoppers]
        following = _draw(process.STEPS[segments, moods], self._random)
        leaves = following == len(Mood)
        stays = ~leaves
        self._stay(shoppers[stays], following[stays])
        warm = self._random.random(int(leaves.sum())) < process.WARM_AFTER[moods[leaves]]
        self._next_ms[shoppers[leaves]] += int(process.ABSENCE_S * 1000)
        self._return(shoppers[leaves], np.where(warm, Memory.WARM, Memory.COLD))

    def _stay(self, shoppers: Integers, moods: Integers) -> None:
        segments = self.segments[shoppers]
        gaps_s = process.draw_gaps_s(
            self._random.random(len(shoppers)), process.GAP_MEDIAN_S[segments, moods], process.GAP_SHAPE[segments]
        )
        self._next_ms[shoppers] += np.round(gaps_s * 1000).astype(np.int64)
        self._next_mood[shoppers] = moods
        self._next_is_first[shoppers] = 0

    def _let_newcomers_wait(self, start_ms: int) -> None:
        newcomers = np.flatnonzero(self._random.random(len(self.segments)) < process.NEWCOMER_SHARE)
        wait_s = self._random.random(len(newcomers)) * process.NEWCOMER_DAYS * rhythm.DAY_S
        begin_s = rhythm.when(rhythm.elapsed(np.array(start_ms / 1000)) + wait_s)
        self._next_ms[newcomers] = np.round(begin_s * 1000).astype(np.int64)

    def _return(self, shoppers: Integers, memories: Integers) -> None:
        """Draw when the next visit begins, at the earliest at `_next_ms`, and in which mood."""
        segments = self.segments[shoppers]
        wait_s = self._random.exponential(rhythm.DAY_S / process.VISITS_A_DAY[segments, memories])
        begin_s = rhythm.when(rhythm.elapsed(self._next_ms[shoppers] / 1000) + wait_s)
        self._next_ms[shoppers] = np.maximum(np.round(begin_s * 1000).astype(np.int64), self._next_ms[shoppers])
        self._next_mood[shoppers] = _draw(process.FIRST_MOOD[segments, memories], self._random)
        self._next_is_first[shoppers] = 1


def _draw(distributions: Floats, random: np.random.Generator) -> Integers:
    """Draw an index from each row `(n, outcomes)`."""
    uniform = random.random(len(distributions))[:, None]
    drawn = (uniform > np.cumsum(distributions, axis=1)[:, :-1]).sum(axis=1)
    return np.asarray(drawn, np.int64)


def _nothing(observer: Observer) -> Happened:
    none = np.empty(0, np.int64)
    return Happened(none, none, none, none, none, observer.observe(none, none, none, none))
