"""Where a fitted model puts the targets of many transitions, a few queries at a time."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.evaluation.next_items.metrics import place
from model.evaluation.next_items.protocol import NEVER, ItemScorer
from model.items.journeys import Journeys
from model.items.targets import Transitions

_SCORES_AT_ONCE: Final = 2**24


@dataclass(frozen=True, slots=True)
class Shelf:
    """The items that may be recommended, and what training knows of them."""

    is_candidate: Booleans
    """`(items,)`"""
    events: Integers
    """How many events each item has to learn from `(items,)`."""
    added_ms: Integers
    """Since when each may be recommended `(items,)`."""

    @classmethod
    def of(cls, training: Journeys, added_ms: Integers | None = None) -> Self:
        """Take every item with an event to learn from; or those of a catalogue, the first items, since they came."""
        events = training.counts()
        if added_ms is None:
            return cls(events > 0, events, np.zeros(len(events), np.int64))
        is_candidate = np.arange(len(events)) < len(added_ms)
        return cls(is_candidate, events, np.append(added_ms, np.zeros(len(events) - len(added_ms), np.int64)))


def ranks_of(scorer: ItemScorer, transitions: Transitions, shelf: Shelf, listed: Integers | None = None) -> Floats:
    """Return the rank of each target `(transitions,)`, as in `metrics.Placed`.

    If given, how often each item is among the first is added to `listed` `(items,)`.
    """
    step = max(1, _SCORES_AT_ONCE // len(shelf.events))
    ranks = np.empty(len(transitions))
    for first in range(0, len(transitions), step):
        part = slice(first, first + step)
        queries = transitions.queries[part]
        scores = scorer.scores(queries)
        scores[shelf.added_ms > queries.journeys.time_ms[queries.rows, None]] = NEVER
        placed = place(scores, transitions.targets[part], shelf.is_candidate, shelf.events)
        ranks[part] = placed.ranks
        if listed is not None:
            listed += np.bincount(placed.listed[placed.listed >= 0], minlength=len(listed))
    return ranks
