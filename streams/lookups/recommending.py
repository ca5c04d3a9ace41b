"""Which items a shopper is likeliest to want next, and why: for the look-up API."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.batch import id_code
from model.events import EVENT_TYPES, PURCHASE
from model.items.catalogue import OUT_OF_STOCK, REMOVED, Catalogue, View
from model.items.contexts import NO_EVENTS, Contexts, HeldEvents
from model.items.item import levels_of
from model.items.ranker import ItemModel, ItemRanker, best
from model.sequence import hexadecimal
from model.text import token_code
from streams.lookups.answers import AsOf, ListedItem, Reason, ShopperItems, SimilarItems, StoredEvent, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.lookups.lookup import BusyError, Lookup, State, UnknownShopperError

_MOST_WAITING: Final = 64
_REASONS: Final = 2
_LEAST_CONTRIBUTION: Final = 0.05
"""An event that adds less to a logit is no reason."""
_NEW_BELOW: Final = 5
"""An item with fewer events to learn from is new."""
_SPARE: Final = 10
"""So many times as many items are ranked if some are left out because there are others of their category."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Everything that one answer is made from."""

    view: View
    context: Contexts
    events: HeldEvents
    reasons: dict[int, Reason] = field(default_factory=dict)
    """What an event has in common as a reason for many items, by its place."""


class ItemRecommender:
    """Recommends the items of a catalogue, whose first rows are those of the model."""

    def __init__(self, look_up: Lookup, catalogue: Catalogue, model: ItemModel, *, version: str) -> None:
        self._look_up, self._catalogue, self._version = look_up, catalogue, version
        self._ranker, self._counts = ItemRanker(model), model.counts[0]
        self._thread = ThreadPoolExecutor(1, "recommend")
        self._waiting = 0

    async def items(self, user: bytes, partition: int, query: ItemQuery) -> ShopperItems:
        """Return items for a shopper of this partition, also for one who is new; raises `lookup`'s errors."""
        state: State | None
        try:
            state = self._look_up.state(user, partition)
        except UnknownShopperError:
            state = None
        as_of = None if state is None else self._look_up.as_of(state, partition)
        return await self._computed(lambda: self._for_shopper(user, state, query, as_of))

    def for_state(self, state: State | None, query: ItemQuery) -> list[Suggestion]:
        """Return the suggestions for a shopper's state `(1,)`, None for somebody new, the best first; in any thread."""
        return self._for_shopper(b"", state, query, None).items

    async def similar(self, row: int, count: int) -> SimilarItems:
        """Return the items most like the one of a catalogue's row."""
        return await self._computed(lambda: self._like(row, count))

    def _for_shopper(self, user: bytes, state: State | None, query: ItemQuery, as_of: AsOf | None) -> ShopperItems:
        asked = _asked(self._catalogue.view, state)
        view = asked.view
        scores = self._ranker.scores(query.goal, asked.context, view.vectors, view.categories)
        rows = _chosen(scores, _allowed(asked, query), view, query)
        added = self._ranker.contributions(query.goal, asked.context, rows, view.vectors, view.categories)
        suggestions = [
            self._suggestion(asked, row, float(scores[row]), added[:, place]) for place, row in enumerate(rows.tolist())
        ]
        return ShopperItems(user.decode(), query.goal, self._version, suggestions, as_of)

    def _like(self, row: int, count: int) -> SimilarItems:
        view = self._catalogue.view
        scores = self._ranker.similarities(row, view.vectors)
        is_allowed = view.can_be_ordered
        is_allowed[row] = False
        rows = best(scores, is_allowed, count).tolist()
        found = [ListedItem(*_listed(view, other, float(scores[other]))) for other in rows]
        return SimilarItems(view.item(row).item_id, self._version, found)

    def _suggestion(self, asked: _Asked, row: int, score: float, added: Floats) -> Suggestion:
        """Say what is suggested, and which events moved it by how much `(events,)`, the most moving first."""
        strongest = np.argsort(-added, kind="stable")[:_REASONS].tolist()
        why = [_reason(asked, place, float(added[place])) for place in strongest if added[place] >= _LEAST_CONTRIBUTION]
        if not why:
            is_new = row >= len(self._counts) or self._counts[row] < _NEW_BELOW
            why = [Reason("new" if is_new else "popular")]
        return Suggestion(*_listed(asked.view, row, score), why)

    async def _computed(self, work: Callable[[], Result]) -> Result:
        """Run work in the thread for recommendations, away from the event loop."""
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1


def _asked(view: View, state: State | None) -> _Asked:
    if state is None:
        return _Asked(view, Contexts.empty(), NO_EVENTS)
    return _Asked(view, *Contexts.of_state(state, lambda codes: view.find(codes).astype(np.int32)))


def _allowed(asked: _Asked, query: ItemQuery) -> Booleans:
    """Return which items may be suggested `(items,)`."""
    view, items = asked.view, asked.context.items[0]
    is_allowed: Booleans = view.states != REMOVED
    if "out_of_stock" in query.exclude:
        is_allowed &= view.stock != OUT_OF_STOCK
    if "seen" in query.exclude:
        is_allowed[items] = False
    if "bought" in query.exclude:
        is_allowed[items[asked.context.types[0] == PURCHASE]] = False
    if query.category is not None:
        paths = levels_of(query.category)
        is_in_level = (
            view.levels[:, len(paths) - 1] == token_code(paths[-1]) if paths else np.zeros(len(view), np.bool_)
        )
        is_allowed &= is_in_level | (view.categories == id_code(query.category))
    return is_allowed


def _chosen(scores: npt.NDArray[np.float32], is_allowed: Booleans, view: View, query: ItemQuery) -> Integers:
    """Return the rows of the best items, at most `per_category` of each."""
    if query.per_category is None:
        return best(scores, is_allowed, query.k)
    rows = best(scores, is_allowed, _SPARE * query.k)
    categories = view.categories[rows]
    order = np.argsort(categories, kind="stable")
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.searchsorted(categories[order], categories[order])
    return rows[rank < query.per_category][: query.k]


def _listed(view: View, row: int, score: float) -> tuple[str, float, str | None, str | None, float | None]:
    item = view.item(row)
    return item.item_id, round(score, 4), item.title, item.category, item.price


def _reason(asked: _Asked, place: int, contribution: float) -> Reason:
    if (reason := asked.reasons.get(place)) is None:
        events, item = asked.events, asked.view.item(int(asked.context.items[0, place]))
        time_ms, kind = int(events.times_s[place]) * 1000, EVENT_TYPES[events.types[place]]
        stored = StoredEvent(time_ms, kind, hexadecimal(int(events.id_hashes[place])))
        reason = asked.reasons[place] = Reason("event", stored, item.item_id, item.title)
    return msgspec.structs.replace(reason, contribution=round(contribution, 4))
