"""Which items shoppers are likeliest to want next, and why: from their states, the catalogue and the shop's rules."""

from collections.abc import Collection

import numpy as np

from model.arrays import Booleans
from model.core.byte_strings import ByteStrings
from model.core.rank_items import Rankings, Wanted
from model.events import EVENT_TYPES, PURCHASE
from model.items.catalogue import OUT_OF_STOCK, REMOVED, Catalogue, KnownItem, View
from model.items.contexts import Contexts, HeldEvents
from model.items.ranker import ItemModel, ItemRanker, best
from streams.lookups.answers import ListedItem, SimilarItems
from streams.lookups.item_query import ItemQuery
from streams.lookups.item_rules import NO_FILE, RulesFile
from streams.lookups.lookup import State
from streams.lookups.ruled import Ruled, in_category
from streams.lookups.suggestions import Held, Said, written_suggestions


class Suggester:
    """Suggests the items of a catalogue, whose first rows are those of the model, in any thread."""

    def __init__(self, catalogue: Catalogue, model: ItemModel, *, version: str, rules: RulesFile = NO_FILE) -> None:
        self.version = version
        self.rules = rules
        self._catalogue = catalogue
        self._ruled = Ruled.of(rules.rules, catalogue, catalogue.view)
        self._ranker, self._counts = ItemRanker(model), model.counts[0]

    def for_states(self, states: State, query: ItemQuery) -> ByteStrings:
        """Return a JSON array of suggestions for each of some shoppers' states, the best first."""
        view = self._catalogue.view
        contexts, events = Contexts.of_states(states, lambda codes: view.find(codes).astype(np.int32))
        ruled = self._ruled_now(view)
        wanted = Wanted(
            _allowed(view, query) & ruled.may_be_shown,
            _hides(query.exclude),
            ruled.boosts,
            query.per_category or ruled.rules.per_category or 0,
            ruled.pins(query),
        )
        ranked = self._ranker.rank(query.goal, contexts, view.shelf, wanted, query.k)
        return self._written(ruled, contexts, events, ranked)

    def _ruled_now(self, view: View) -> Ruled:
        """Return the rules in force for a view's items; they are found anew when either has changed."""
        ruled, rules = self._ruled, self.rules.rules
        if ruled.view is not view or ruled.rules is not rules:
            ruled = self._ruled = Ruled.of(rules, self._catalogue, view)
        return ruled

    def like(self, row: int, count: int) -> SimilarItems:
        """Return the items most like the one of a row."""
        view = self._catalogue.view
        scores = self._ranker.similarities(row, view.vectors)
        is_allowed = view.can_be_ordered & self._ruled_now(view).may_be_shown
        is_allowed[row] = False
        rows = best(scores, is_allowed, count)
        this, *others = view.items([row, *rows.tolist()])
        listed = [ListedItem(*_listed(item, score)) for item, score in zip(others, scores[rows].tolist(), strict=True)]
        return SimilarItems(this.item_id, self.version, listed)

    def _written(self, ruled: Ruled, contexts: Contexts, events: HeldEvents, ranked: Rankings) -> ByteStrings:
        """Write what is suggested, and which rules and events moved it."""
        view, is_ranked = ruled.view, np.arange(ranked.rows.shape[1]) < ranked.counts[:, None]
        if not len(view):
            return ByteStrings.of([b"[]"] * len(contexts))
        ranked_rows, held_rows = np.where(is_ranked, ranked.rows, 0), np.maximum(contexts.items, 0)
        said = view.said(np.concatenate((ranked_rows.ravel(), held_rows.ravel())))
        of_ranked, of_held = np.split(said.spans, [ranked_rows.size])
        return written_suggestions(
            ranked,
            Held(events.times_s, events.types, events.id_hashes),
            Said(said.buffer, of_ranked.reshape(*ranked_rows.shape, 2), of_held.reshape(*held_rows.shape, 2)),
            ruled.boosts,
            self._counts,
        )


def _allowed(view: View, query: ItemQuery) -> Booleans:
    """Return which items may be suggested to anybody `(items,)`."""
    is_allowed: Booleans = view.states != REMOVED
    if "out_of_stock" in query.exclude:
        is_allowed &= view.stock != OUT_OF_STOCK
    if query.category is not None:
        is_allowed &= in_category(view, query.category)
    return is_allowed


def _hides(exclude: Collection[str]) -> Booleans:
    """Return the types of event whose items are not suggested again `(types,)`."""
    hides = np.full(len(EVENT_TYPES), "seen" in exclude)
    hides[PURCHASE] |= "bought" in exclude
    return hides


def _listed(item: KnownItem, score: float) -> tuple[str, float, str | None, str | None, float | None]:
    return item.item_id, round(score, 4), item.title, item.category, item.price
