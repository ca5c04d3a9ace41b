"""The field's simple methods: popularity, popularity in the category of late, sequential rules, item-kNN.

Each is written for any goal: what is counted are events of the goal's type, what they follow is any event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.core.compiled import compiled
from model.evaluation.next_items.index import Numbers, SessionIndex, grouped
from model.evaluation.next_items.protocol import NEVER, ItemScorer, Scores
from model.horizons import DAY_MS
from model.items.journeys import Journeys
from model.items.targets import Queries


@dataclass(frozen=True, slots=True)
class Popularity:
    """Every shopper is shown what had most events of the goal's type."""

    name: str = "popularity"
    title: str = "Popularity"
    about: str = "the items with most events of the goal's type, for everybody the same"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        counts = training.counts(training.of_type(goal)).astype(np.float32)
        return _Constant(np.where(counts > 0, counts, NEVER))


@dataclass(frozen=True, slots=True)
class _Constant:
    counts: Scores

    def scores(self, queries: Queries) -> Scores:
        return np.tile(self.counts, (len(queries), 1))


@dataclass(frozen=True, slots=True)
class CategoryPopularity:
    """What was popular of late in the category of the shopper's last event; then what was so in the whole shop."""

    half_life_days: float = 2.0
    name: str = "category_popularity"
    title: str = "Popular in the category"
    about: str = "counts of the last event's category, halved every two days, then those of the whole shop"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        rows = np.flatnonzero(training.of_type(goal))
        age_days = (training.time_ms.max(initial=0) - training.time_ms[rows]) / DAY_MS
        weights = 0.5 ** (age_days / self.half_life_days)
        items, count = training.items[rows].astype(np.int64), len(training.item_ids)
        overall = np.bincount(items, weights, count)
        keys, positions = np.unique((training.categories[rows] + 1) * count + items, return_inverse=True)
        return _ByCategory(
            overall=np.where(overall > 0, overall / (1 + overall.max(initial=0)), NEVER).astype(np.float32),
            starts=np.searchsorted(keys, np.arange(len(training.category_names) + 2) * count),
            items=keys % count,
            counts=(1 + np.bincount(positions, weights, len(keys))).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class _ByCategory:
    """Scores below 1 of the whole shop, and above 1 of the items of each category, that of no category first."""

    overall: Scores
    starts: Integers
    items: Integers
    counts: Scores

    def scores(self, queries: Queries) -> Scores:
        found = np.tile(self.overall, (len(queries), 1))
        for query, category in enumerate(queries.journeys.categories[queries.rows] + 1):
            part = slice(self.starts[category], self.starts[category + 1])
            found[query, self.items[part]] = self.counts[part]
        return found


@dataclass(frozen=True, slots=True)
class OwnItems:
    """What the shopper had before, the last first: what is put into the cart was mostly looked at before."""

    name: str = "own_items"
    title: str = "The shopper's own items"
    about: str = "what this shopper had before, the last first"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:  # noqa: ARG002 - there is nothing to learn
        return self

    def scores(self, queries: Queries) -> Scores:
        journeys = queries.journeys
        found = np.full((len(queries), len(journeys.item_ids)), NEVER)
        firsts = np.maximum(journeys.starts[journeys.users[queries.rows]], queries.rows + 1 - _MOST_OWN_EVENTS)
        for row, first, last in zip(found, firsts, queries.rows, strict=True):
            row[journeys.items[first : last + 1]] = np.arange(first, last + 1) - last
        return found


_MOST_OWN_EVENTS: Final = 1000
_STEPS: Final = 10


@dataclass(frozen=True, slots=True)
class SequentialRules:
    """What came after the shopper's last item in other sessions, at most `steps` events later, each weighted 1 / steps.

    SR of Kamehkhosh, Jannach and Ludewig, "A comparison of frequent pattern techniques and a deep learning method for
    session-based recommendation" (2017), without pruning.
    """

    steps: int = _STEPS
    name: str = "sequential_rules"
    title: str = "Sequential rules"
    about: str = "what followed the last item in other sessions, the sooner the more (SR)"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        starts, rows = grouped(training.items, np.arange(len(training)), len(training.item_ids))
        journeys = training.items, training.of_type(goal), training.session_ends

        def write(item: int, found: Floats) -> None:
            _follow(rows[starts[item] : starts[item + 1]], journeys, self.steps, found)

        return _OfLastItem(write)


@dataclass(frozen=True, slots=True)
class ItemKNN:
    """What occurs in the same sessions as the shopper's last item, by regularised cosine.

    Similarity as in the item-KNN of Hidasi et al., "Session-based recommendations with recurrent neural networks"
    (2016): sessions with both / sqrt((events of one + regularisation) * (events of the other + regularisation)).
    The item itself counts only for other goals than `view`: what is viewed is often what is then put into the cart.
    """

    regularisation: float = 20.0
    name: str = "item_knn"
    title: str = "Item-kNN"
    about: str = "what occurs in the same sessions as the last item, by cosine"

    def fit(self, training: Journeys, goal: str) -> ItemScorer:
        index = SessionIndex.of(training, goal)
        norms = np.sqrt(training.counts() + self.regularisation)

        def write(item: int, found: Floats) -> None:
            _together(index.sessions_of(item), index.goal_starts, index.goal_items, found)
            found /= norms * norms[item]
            if goal == "view":
                found[item] = 0

        return _OfLastItem(write)


@dataclass(frozen=True, slots=True)
class _OfLastItem:
    """Scores that depend on the query's item alone."""

    write: Callable[[int, Floats], None]
    """Adds an item's scores to zeros `(items,)`."""

    def scores(self, queries: Queries) -> Scores:
        distinct, places = np.unique(queries.items, return_inverse=True)
        found = np.zeros((len(distinct), len(queries.journeys.item_ids)))
        for row, item in zip(found, distinct.tolist(), strict=True):
            self.write(item, row)
        return np.where(found > 0, found, NEVER).astype(np.float32)[places]


@compiled
def _follow(rows: Integers, journeys: tuple[Numbers, Booleans, Integers], steps: int, found: Floats) -> None:
    items, is_goal, ends = journeys
    for row in rows:
        for later in range(row + 1, min(row + steps, ends[row]) + 1):
            if is_goal[later]:
                found[items[later]] += 1 / (later - row)


@compiled
def _together(sessions: Integers, starts: Integers, items: Integers, found: Floats) -> None:
    for session in sessions:
        for place in range(starts[session], starts[session + 1]):
            found[items[place]] += 1
