"""Where a fitted model puts the targets of many transitions, a few queries at a time."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.evaluation.next_items.metrics import place
from model.evaluation.next_items.protocol import ItemScorer
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

    @classmethod
    def of(cls, training: Journeys, is_candidate: Booleans | None = None) -> Self:
        """Take the given candidates, or every item with an event to learn from."""
        events = training.counts()
        return cls(events > 0 if is_candidate is None else is_candidate, events)


def ranks_of(scorer: ItemScorer, transitions: Transitions, shelf: Shelf, listed: Integers | None = None) -> Floats:
    """Return the rank of each target `(transitions,)`, as in `metrics.Placed`.

    If given, how often each item is among the first is added to `listed` `(items,)`.
    """
    step = max(1, _SCORES_AT_ONCE // len(shelf.events))
    ranks = np.empty(len(transitions))
    for first in range(0, len(transitions), step):
        part = slice(first, first + step)
        scores = scorer.scores(transitions.queries[part])
        placed = place(scores, transitions.targets[part], shelf.is_candidate, shelf.events)
        ranks[part] = placed.ranks
        if listed is not None:
            listed += np.bincount(placed.listed[placed.listed >= 0], minlength=len(listed))
    return ranks
