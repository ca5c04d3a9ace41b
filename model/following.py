"""Following identities through a history, as the stream does: a claim takes effect right after the event that makes it.

The stream takes the time of two commits for that; a history has no such delay.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.core.append import Appended
from model.core.merge import plan_waves
from model.core.texts import ANONYMOUS_ID
from model.identity import CLAIM_AGAIN_MS, NOTHING, States, claiming_rows, id_hash, merge, refusals, released

USUAL_MOST_CLAIMS: Final = 100
"""How often an id may be claimed, unless a setting says otherwise: after that it is a kiosk's or a bot's."""
Append = Callable[[npt.NDArray[np.int64], EventBatch], Appended]
"""Appends the rows of a batch that it is given to the states, in place; they are given as a batch as well."""


class Join(NamedTuple):
    """A state that was merged into a user's."""

    event: int
    """The event of the batch that claimed it."""
    user: int
    anonymous: int
    is_new: bool
    """Whether nothing was known of the user before that event."""


@dataclass
class Following:
    """Merges states while a history is appended."""

    most_claims: int = USUAL_MOST_CLAIMS
    joined: int = 0
    """Anonymous states that were merged into a user's."""
    refused: int = 0
    """Claims of ids that are users' themselves, or that too many have claimed."""

    def append(
        self,
        states: States,
        users: npt.NDArray[np.int64],
        anonymous: npt.NDArray[np.int64],
        batch: EventBatch,
        step: Append,
    ) -> list[Join]:
        """Append a batch by `step` and merge between; returns what was merged, in order.

        `users` and `anonymous` `(events,)` are indices of states, `anonymous` is -1 where an event names no such id.
        `step` is called once if none does.
        """
        if not (anonymous >= 0).any():
            step(np.arange(len(batch)), batch)
            return []
        waves, merge_after = np.empty((2, len(batch)), np.int64)
        count = _plan(states, users, anonymous, batch, waves, merge_after)
        before_ms, pending, joins = np.zeros(len(states), np.int64), list[int](), list[Join | None]()
        for wave in range(count):
            rows = np.flatnonzero(waves == wave)
            before_ms[users[rows]] = states["sequence"]["last_time_ms"][users[rows]]
            some = batch.take(rows)
            pending += rows[claiming_rows(before_ms, states, some, step(rows, some))].tolist()
            for event in sorted(event for event in pending if merge_after[event] <= wave):
                joins.append(self._claim(states, event, int(users[event]), int(anonymous[event])))
            pending = [event for event in pending if merge_after[event] > wave]
        return [join for join in joins if join is not None]

    def _claim(self, states: States, event: int, user: int, anonymous: int) -> Join | None:
        claimed = states[anonymous : anonymous + 1]
        (why,) = refusals(claimed, self.most_claims)
        if why:
            self.refused += why != NOTHING
            return None
        is_new = bool(states["sequence"]["events"][user] == 1)
        merge(states[user : user + 1], claimed)
        states[anonymous : anonymous + 1] = released(claimed)
        self.joined += 1
        return Join(event, user, anonymous, is_new)


def _plan(  # noqa: PLR0913, PLR0917 - as of `plan_waves`
    states: States,
    users: npt.NDArray[np.int64],
    anonymous: npt.NDArray[np.int64],
    batch: EventBatch,
    waves: npt.NDArray[np.int64],
    merge_after: npt.NDArray[np.int64],
) -> int:
    codes, named = np.zeros(len(batch), np.int64), np.flatnonzero(anonymous >= 0)
    codes[named] = [id_hash(one or "") for one in batch.take(named).anonymous_ids]
    return plan_waves(
        users,
        anonymous,
        codes,
        batch.identifies,
        batch.event_time_ms,
        states["sequence"]["last_time_ms"].astype(np.int64),
        states["sequence"]["claimed"].astype(np.int64),
        CLAIM_AGAIN_MS,
        waves,
        merge_after,
    )


def anonymous_index(batch: EventBatch, numbers: dict[str, int]) -> npt.NDArray[np.int64]:
    """Return the number of each event's anonymous id, -1 where it names none; new ids get the next numbers."""
    index = np.full(len(batch), -1, np.int64)
    named = np.flatnonzero(batch.texts.spans[:, ANONYMOUS_ID, 0] >= 0)
    ids = batch.take(named).anonymous_ids
    index[named] = [numbers.setdefault(one or "", len(numbers)) for one in ids]
    return index
