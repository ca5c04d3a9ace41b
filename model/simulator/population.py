"""All shoppers at once: each round draws the next event of everybody who is due."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.arrays import Floats, Integers
from model.simulator import process, rhythm
from model.simulator.catalogue import Catalogue
from model.simulator.distributions import draw_gaps_s, draw_indices
from model.simulator.process import Memory, Mood, Symbol
from model.simulator.wording import MOST_PLACES, draw_stars, draw_words

_OF_THE_CART = [Symbol.REMOVE, Symbol.CHECKOUT, Symbol.PURCHASE, Symbol.REVIEW, Symbol.REFUND]
_LOOKED_BACK_ON = [Symbol.REVIEW, Symbol.REFUND]
ITEMLESS = [Symbol.SEARCH, Symbol.OTHER]
NO_ITEM = -1


@dataclass(frozen=True, slots=True)
class Observations:
    """The observable part of events as columns, one entry per event, at most one event per shopper."""

    shoppers: Integers
    time_ms: Integers
    symbols: Integers
    prices: Integers
    """`Price` of the item that the shopper looked at last, this event's included."""
    words: Integers
    """`(events, MOST_PLACES)` of `model.simulator.wording`."""
    stars: Integers
    is_first_of_visit: Integers

    def __len__(self) -> int:
        return len(self.shoppers)


class Observer(Protocol):
    """Gets every event of every shopper in order, and computes propensities."""

    def observe(self, observed: Observations) -> Floats:
        """Return the propensities after the events `(events, horizons)`."""
        ...


class NoObserver:
    """Computes nothing: `(events, 0)`."""

    def observe(self, observed: Observations) -> Floats:
        return np.empty((len(observed), 0))


class ItemChoice(Protocol):
    """Draws which item of a shelf a shopper looks at."""

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def hidden(self) -> np.dtype[np.void]:
        """What `hidden_of` says of a shopper."""
        ...

    def hidden_of(self, shoppers: Integers) -> npt.NDArray[np.void]:
        """Return what only the choice knows of shoppers `(shoppers,)`."""
        ...

    def begin_visits(self, shoppers: Integers, favourites: Integers) -> None:
        """Get ready for visits, each of which is about one of the favourites `(shoppers, FAVOURITES)`."""
        ...

    def observe(self, shoppers: Integers, symbols: Integers, categories: Integers) -> None:
        """Learn what shoppers did, and in which category."""
        ...

    def draw(
        self, shoppers: Integers, shelves: Integers, before: Integers, time_ms: Integers, random: np.random.Generator
    ) -> Integers:
        """Draw an item for each shopper that is not the one before (NO_ITEM for none), with one random number each."""
        ...


def hidden_dtype(choice: ItemChoice) -> np.dtype[np.void]:
    """Return the dtype of what nobody can see of a shopper right after an event."""
    numbers = [(name, np.int32) for name in ("segment", "mood", "item", "cart_item")]
    return np.dtype([*numbers, ("choice", choice.hidden)])


@dataclass(frozen=True, slots=True)
class Happened:
    """Events as columns, one entry per event."""

    shoppers: Integers
    time_ms: Integers
    symbols: Integers
    items: Integers
    """NO_ITEM for none."""
    categories: Integers
    words: Integers
    """`(events, MOST_PLACES)`"""
    stars: Integers
    truth: Floats
    """`(events, horizons)` true propensities, or `(events, 0)`."""
    hidden: npt.NDArray[np.void]
    """`(events,)` of `hidden_dtype`"""


class Population:
    """The shoppers' hidden state; `advance` simulates them until a time and returns their events."""

    def __init__(
        self, users: int, start_ms: int, choice: ItemChoice, random: np.random.Generator, observer: Observer
    ) -> None:
        self._random = random
        self._choice, self._catalogue = choice, choice.catalogue
        self._observer = observer
        self.segments = random.choice(len(process.Segment), users, p=process.SEGMENT_SHARES)
        self._favourites = random.integers(0, len(self._catalogue.category_names), (users, process.FAVOURITES))
        self._focus = self._favourites[:, 0].copy()
        self._is_known = np.zeros(users, np.bool_)
        self._item = np.full(users, NO_ITEM)  # that they looked at last
        self._cart_item = np.full(users, NO_ITEM)
        # Each shopper's next event, drawn in advance:
        self._next_ms = np.full(users, start_ms)
        self._next_mood = np.zeros(users, np.int64)
        self._next_is_first = np.ones(users, np.int64)
        self._return(np.arange(users), np.full(users, Memory.COLD, np.int64))
        self._delay_newcomers(start_ms)

    def advance(self, end_ms: int) -> Happened:
        """Return all events before `end_ms`, in no particular order."""
        rounds = [_nothing(self._observer, self._choice)]
        due = np.flatnonzero(self._next_ms < end_ms)
        while len(due):
            rounds.append(self._round(due))
            due = due[self._next_ms[due] < end_ms]
        return Happened(
            *(np.concatenate([getattr(one, column) for one in rounds]) for column in Happened.__dataclass_fields__)
        )

    def _round(self, due: Integers) -> Happened:
        time_ms, moods, is_first = self._next_ms[due], self._next_mood[due], self._next_is_first[due]
        self._begin_visits(due[is_first == 1], moods[is_first == 1])
        symbols = self._symbols_of(due, moods)
        items, categories = self._items_of(due, moods, symbols)
        self._choice.observe(due, symbols, categories)
        words = draw_words(symbols, moods, self._random)
        stars = draw_stars(symbols, moods, self._random)
        prices = self._catalogue.prices_of(self._item[due])
        truth = self._observer.observe(Observations(due, time_ms, symbols, prices, words, stars, is_first))
        hidden = self._hidden(due, moods)
        self._draw_next(due, moods, prices)
        return Happened(due, time_ms, symbols, items, categories, words, stars, truth, hidden)

    def _hidden(self, shoppers: Integers, moods: Integers) -> npt.NDArray[np.void]:
        hidden = np.empty(len(shoppers), hidden_dtype(self._choice))
        hidden["segment"], hidden["mood"] = self.segments[shoppers], moods
        hidden["item"], hidden["cart_item"] = self._item[shoppers], self._cart_item[shoppers]
        hidden["choice"] = self._choice.hidden_of(shoppers)
        return hidden

    def _begin_visits(self, shoppers: Integers, moods: Integers) -> None:
        choice = self._random.integers(0, self._favourites.shape[1], len(shoppers))
        self._focus[shoppers] = self._favourites[shoppers, choice]
        self._choice.begin_visits(shoppers, self._favourites[shoppers])
        undecided = shoppers[moods == Mood.UNDECIDED]
        self._cart_item[undecided] = self._item[undecided]  # it is this that they are undecided about

    def _symbols_of(self, shoppers: Integers, moods: Integers) -> Integers:
        """Draw each event's symbol `(events,)`; a shopper's first event is a view, so that its item is observed."""
        symbols = draw_indices(process.SHOWS[self.segments[shoppers], moods], self._random)
        symbols[~self._is_known[shoppers]] = Symbol.VIEW_NEW
        self._is_known[shoppers] = True
        return symbols

    def _items_of(self, shoppers: Integers, moods: Integers, symbols: Integers) -> tuple[Integers, Integers]:
        """Return each event's item and category `(events,)`, and update the viewed item and the one in the cart."""
        looks_at_new = symbols == Symbol.VIEW_NEW
        self._look_at_new(shoppers[looks_at_new], moods[looks_at_new])
        carts = shoppers[symbols == Symbol.CART]
        self._cart_item[carts] = self._item[carts]
        items = np.where(np.isin(symbols, _OF_THE_CART), self._cart_item[shoppers], self._item[shoppers])
        looks = ~np.isin(symbols, _LOOKED_BACK_ON)
        self._item[shoppers[looks]] = items[looks]
        itemless = np.isin(symbols, ITEMLESS)
        categories = np.where(itemless, self._focus[shoppers], self._catalogue.categories_of(items))
        return np.where(itemless, NO_ITEM, items), categories

    def _look_at_new(self, shoppers: Integers, moods: Integers) -> None:
        """Choose an item; a shopper with something in the cart keeps to its price level."""
        keeps = self._random.random(len(shoppers)) < process.KEEPS_TO_FOCUS
        anything = self._random.integers(0, len(self._catalogue.category_names), len(shoppers))
        prices = draw_indices(np.broadcast_to(process.PRICE_SHARES, (len(shoppers), 2)), self._random)
        before = self._item[shoppers]
        prices = np.where(moods == Mood.UNDECIDED, self._catalogue.prices_of(before), prices)
        categories = np.where(keeps, self._focus[shoppers], anything)
        shelves = self._catalogue.shelves_of(categories, prices)
        self._item[shoppers] = self._choice.draw(shoppers, shelves, before, self._next_ms[shoppers], self._random)

    def _draw_next(self, shoppers: Integers, moods: Integers, prices: Integers) -> None:
        following = draw_indices(process.STEPS[self.segments[shoppers], prices, moods], self._random)
        leaves = following == len(Mood)
        stays = ~leaves
        self._stay(shoppers[stays], following[stays])
        self._next_ms[shoppers[leaves]] += int(process.ABSENCE_S * 1000)
        self._return(shoppers[leaves], draw_indices(process.MEMORY_AFTER[moods[leaves]], self._random))

    def _stay(self, shoppers: Integers, moods: Integers) -> None:
        segments = self.segments[shoppers]
        gaps_s = draw_gaps_s(
            self._random.random(len(shoppers)), process.GAP_MEDIAN_S[segments, moods], process.GAP_SHAPE[segments]
        )
        self._next_ms[shoppers] += np.round(gaps_s * 1000).astype(np.int64)
        self._next_mood[shoppers] = moods
        self._next_is_first[shoppers] = 0

    def _delay_newcomers(self, start_ms: int) -> None:
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
        self._next_mood[shoppers] = draw_indices(process.FIRST_MOOD[segments, memories], self._random)
        self._next_is_first[shoppers] = 1


def _nothing(observer: Observer, choice: ItemChoice) -> Happened:
    none, no_words = np.empty(0, np.int64), np.empty((0, MOST_PLACES), np.int64)
    truth = observer.observe(Observations(none, none, none, none, no_words, none, none))
    return Happened(none, none, none, none, none, no_words, none, truth, np.empty(0, hidden_dtype(choice)))
