"""Which items each session to learn from has, and which sessions each item."""

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from model.arrays import Integers, Runs
from model.items.journeys import Journeys

Numbers: TypeAlias = npt.NDArray[np.signedinteger]


@dataclass(frozen=True, slots=True)
class SessionIndex:
    """Sessions numbered from 0, the one whose last event is the latest first."""

    sessions: int
    item_starts: Integers
    item_sessions: Integers
    """The sessions of item i are item_starts[i] to item_starts[i + 1] - 1 of these, the latest first."""
    goal_starts: Integers
    goal_items: Integers
    """The items of session s with an event of the goal's type, in the same way, each once."""

    @classmethod
    def of(cls, training: Journeys, goal: str) -> Self:
        """Index the sessions of some journeys."""
        runs, items = Runs.of(training.sessions), len(training.item_ids)
        number = np.empty(len(runs.users), np.int64)
        number[np.argsort(-training.time_ms[runs.ends], kind="stable")] = np.arange(len(number))
        sessions = number[runs.index]  # (events,)
        of_any, of_goal = (
            _distinct(sessions[rows], training.items[rows], items) for rows in (..., training.of_type(goal))
        )
        return cls(
            len(number),
            *grouped(of_any[1], of_any[0], items),
            *grouped(of_goal[0], of_goal[1], len(number)),
        )

    def sessions_of(self, item: int) -> Integers:
        """Return the sessions that have an item, the latest first."""
        return self.item_sessions[self.item_starts[item] : self.item_starts[item + 1]]


def grouped(keys: Numbers, values: Integers, count: int) -> tuple[Integers, Integers]:
    """Return where the values `(n,)` of each key below `count` start `(count + 1,)`, and the values sorted by key."""
    order = np.argsort(keys, kind="stable")
    return np.searchsorted(keys[order], np.arange(count + 1)), values[order]


def _distinct(sessions: Integers, items: Numbers, count: int) -> tuple[Integers, Integers]:
    pairs = np.unique(sessions * count + items)
    return pairs // count, pairs % count
