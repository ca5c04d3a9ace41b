"""Which items a shopper is likeliest to want next, and why: for the look-up API."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec
import numpy as np

from model.arrays import Booleans, Integers
from model.events import EVENT_TYPES, PURCHASE
from model.items.catalogue import OUT_OF_STOCK, REMOVED, Catalogue, KnownItem, View
from model.items.contexts import NO_EVENTS, Contexts, HeldEvents
from model.items.ranker import ItemModel, ItemRanker, Ranking, best
from model.sequence import hexadecimal
from streams.lookups.answers import ListedItem, Reason, ShopperItems, SimilarItems, StoredEvent, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.lookups.item_rules import NO_FILE, RulesFile
from streams.lookups.lookup import BusyError, Lookup, State, UnknownShopperError
from streams.lookups.ruled import Ruled, in_category

_MOST_WAITING: Final = 64
_REASONS: Final = 2
_LEAST_CONTRIBUTION: Final = 0.05
"""An event that adds less to a logit is no reason."""
_NEW_BELOW: Final = 5
"""An item with fewer events to learn from is new."""
_POPULAR, _NEW, _PINNED = [Reason("popular")], [Reason("new")], Reason("pinned")

Result = TypeVar("Result")


class ItemRecommender:
    """Recommends the items of a catalogue, whose first rows are those of the model."""

    def __init__(
        self, look_up: Lookup, catalogue: Catalogue, model: ItemModel, *, version: str, rules: RulesFile = NO_FILE
    ) -> None:
        self._look_up, self._catalogue, self._version, self._rules = look_up, catalogue, version, rules
        self._ruled = Ruled.of(rules.rules, catalogue, catalogue.view)
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
        suggestions = await self._computed(lambda: self.for_state(state, query))
        return ShopperItems(user.decode(), query.goal, self._version, suggestions, as_of, self._rules.status)

    async def similar(self, row: int, count: int) -> SimilarItems:
        """Return the items most like the one of a catalogue's row."""
        return await self._computed(lambda: self._like(row, count))

    def for_state(self, state: State | None, query: ItemQuery) -> list[Suggestion]:
        """Return the suggestions for a shopper's state `(1,)`, None for somebody new, the best first; in any thread."""
        view = self._catalogue.view
        context, events = _context(view, state)
        ruled = self._ruled_now(view)
        is_allowed = _allowed(view, context, query) & ruled.may_be_shown
        pins = ruled.pins(query, is_allowed)
        pinned = np.array(list(pins.values()), np.int64)
        is_allowed[pinned] = False
        ranking = self._ranker.rank(
            query.goal,
            context,
            view.shelf,
            is_allowed,
            query.k - len(pins),
            per_category=query.per_category or ruled.rules.per_category,
            boosts=ruled.boosts,
            pinned=pinned,
        )
        suggestions = self._suggestions(ruled, context, events, ranking)
        best_others = len(suggestions) - len(pins)
        listed = suggestions[:best_others]
        for place, suggestion in zip(pins, suggestions[best_others:], strict=True):
            listed.insert(place - 1, msgspec.structs.replace(suggestion, why=[_PINNED, *suggestion.why]))
        return listed

    def _ruled_now(self, view: View) -> Ruled:
        """Return the rules in force for a view's items; they are found anew when either has changed."""
        ruled, rules = self._ruled, self._rules.rules
        if ruled.view is not view or ruled.rules is not rules:
            ruled = self._ruled = Ruled.of(rules, self._catalogue, view)
        return ruled

    def _like(self, row: int, count: int) -> SimilarItems:
        view = self._catalogue.view
        scores = self._ranker.similarities(row, view.vectors)
        is_allowed = view.can_be_ordered & self._ruled_now(view).may_be_shown
        is_allowed[row] = False
        rows = best(scores, is_allowed, count)
        this, *others = view.items([row, *rows.tolist()])
        listed = [ListedItem(*_listed(item, score)) for item, score in zip(others, scores[rows].tolist(), strict=True)]
        return SimilarItems(this.item_id, self._version, listed)

    def _suggestions(self, ruled: Ruled, context: Contexts, events: HeldEvents, ranking: Ranking) -> list[Suggestion]:
        """Say what is suggested, and which boost and events moved it, the most moving event first."""
        view = ruled.view
        rows, added = ranking.rows.tolist(), ranking.contributions
        places = np.argsort(-added, axis=0, kind="stable")[:_REASONS]  # (reasons, ranked)
        raised = np.take_along_axis(added, places, axis=0)
        reasons = _reasons(view, context, events, np.unique(places[raised >= _LEAST_CONTRIBUTION]))
        by_row = zip(rows, view.items(rows), ranking.scores.tolist(), places.T.tolist(), raised.T.tolist(), strict=True)
        return [
            Suggestion(
                *_listed(item, score),
                [
                    *ruled.boost(row),
                    *(
                        Reason("event", *reasons[place], round(by, 4))
                        for place, by in zip(strongest, raised_by, strict=True)
                        if by >= _LEAST_CONTRIBUTION
                    ),
                ]
                or (_NEW if row >= len(self._counts) or self._counts[row] < _NEW_BELOW else _POPULAR),
            )
            for row, item, score, strongest, raised_by in by_row
        ]

    async def _computed(self, work: Callable[[], Result]) -> Result:
        """Run work in the thread for recommendations, away from the event loop."""
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1


def _reasons(
    view: View, context: Contexts, events: HeldEvents, places: Integers
) -> dict[int, tuple[StoredEvent, str, str | None]]:
    """Return what the events of some places say as reasons, by place: the event, its item and that item's title."""
    items = view.items(context.items[0, places].tolist())
    columns = (column[places].tolist() for column in (events.times_s, events.types, events.id_hashes))
    return {
        place: (StoredEvent(time_s * 1000, EVENT_TYPES[code], hexadecimal(id_hash)), item.item_id, item.title)
        for place, item, time_s, code, id_hash in zip(places.tolist(), items, *columns, strict=True)
    }


def _context(view: View, state: State | None) -> tuple[Contexts, HeldEvents]:
    if state is None:
        return Contexts.empty(), NO_EVENTS
    return Contexts.of_state(state, lambda codes: view.find(codes).astype(np.int32))


def _allowed(view: View, context: Contexts, query: ItemQuery) -> Booleans:
    """Return which items may be suggested `(items,)`."""
    items = context.items[0]
    is_allowed: Booleans = view.states != REMOVED
    if "out_of_stock" in query.exclude:
        is_allowed &= view.stock != OUT_OF_STOCK
    if "seen" in query.exclude:
        is_allowed[items] = False
    if "bought" in query.exclude:
        is_allowed[items[context.types[0] == PURCHASE]] = False
    if query.category is not None:
        is_allowed &= in_category(view, query.category)
    return is_allowed


def _listed(item: KnownItem, score: float) -> tuple[str, float, str | None, str | None, float | None]:
    return item.item_id, round(score, 4), item.title, item.category, item.price
