"""Targets: which item a shopper views, puts into the cart or buys next, and at which events it is asked.

- A *query* is an event of a type in QUERY_TYPES with an item. What may be used to answer is all that arrived of its
  shopper up to and including it.
- Its *target* is the item of the shopper's next event of the goal's type. For `view` it lies in the same session; for
  `cart` and `purchase` in the same session or within 24 hours. As in the literature (Ludewig and Jannach, "Evaluation
  of session-based recommendation algorithms", 2018) every transition counts, not just the last of a session, and the
  target may be an item that the session has had, the query's own too.
- A query without a target is not asked: whether something follows is what the propensities say.
- Events before the split time are learnt from; queries are those at or after it, also of sessions that began before
  it. Nothing before the split is labelled here, so no label of what is learnt from looks across it. Targets lie within
  the data; in the last 24 hours those that take long are missing, for all models alike.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Integers
from model.events import TYPE_CODES
from model.horizons import DAY_MS
from model.items.journeys import Journeys

GOALS: Final = ("view", "cart", "purchase")
QUERY_TYPES: Final = ("view", "favorite", "cart", "purchase")
_WITHIN_MS: Final = {"view": 0, "cart": DAY_MS, "purchase": DAY_MS}
"""So long after the query a target counts though the session is over."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Moments at which the next item is asked: after some events of journeys."""

    journeys: Journeys
    rows: Integers
    """Events of the journeys `(queries,)`."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def items(self) -> Integers:
        """The item of each query's event `(queries,)`."""
        return self.journeys.items[self.rows].astype(np.int64)

    @property
    def session_starts(self) -> Integers:
        """The first event of each query's session `(queries,)`; the session so far is from there to its own event."""
        return np.searchsorted(self.journeys.sessions, self.journeys.sessions[self.rows])

    def __getitem__(self, part: slice) -> "Queries":
        return Queries(self.journeys, self.rows[part])


@dataclass(frozen=True, slots=True)
class Transitions:
    """Queries and what followed."""

    queries: Queries
    targets: Integers
    """Item numbers `(queries,)`."""
    target_rows: Integers
    """The events of the targets."""

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def of(cls, journeys: Journeys, goal: str, from_ms: int = 0) -> Self:
        """Find the transitions of a goal whose query is at or after a time."""
        rows = np.flatnonzero(
            np.isin(journeys.type_codes, [TYPE_CODES[name] for name in QUERY_TYPES]) & (journeys.time_ms >= from_ms)
        )
        following = next_rows(journeys, goal)[rows]
        rows, following = rows[following >= 0], following[following >= 0]
        return cls(Queries(journeys, rows), journeys.items[following].astype(np.int64), following)

    def where(self, chosen: Integers) -> "Transitions":
        """Return some of them, by position."""
        queries = Queries(self.queries.journeys, self.queries.rows[chosen])
        return Transitions(queries, self.targets[chosen], self.target_rows[chosen])


def next_rows(journeys: Journeys, goal: str) -> Integers:
    """Return the event of each event's target `(events,)`, -1 where there is none; raises KeyError for other goals."""
    within_ms = _WITHIN_MS[goal]
    reached = np.flatnonzero(journeys.of_type(goal))
    if not len(reached):
        return np.full(len(journeys), -1)
    place = np.searchsorted(reached, np.arange(len(journeys)), side="right")
    following = reached[np.minimum(place, len(reached) - 1)]  # (events,)
    is_target = (place < len(reached)) & (journeys.users[following] == journeys.users)
    in_session = journeys.sessions[following] == journeys.sessions
    is_target &= in_session | (journeys.time_ms[following] - journeys.time_ms <= within_ms)
    return np.where(is_target, following, -1)
