"""When something is recommended to whom: at which events of a batch, and what was known of the shopper right then.

Both follow from the states and the events alone, so that neither depends on how a stream is divided into batches.
"""

from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Integers, Runs
from model.batch import EventBatch
from model.core.append import Appended, Source, append_events
from model.shop import NO_SHOP, Shop
from model.states import remember_more

States = npt.NDArray[np.void]
_NOTHING: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Moments:
    """The events of a batch at which something is recommended, in the batch's order."""

    rows: Integers = field(default_factory=_NOTHING.copy)
    """Of the batch `(moments,)`."""
    states: States = field(default_factory=lambda: np.empty(0, np.void))
    """Their shoppers' states right after them `(moments,)`, but for what the LSTM carries."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: Booleans | slice) -> Self:
        """Return some of them."""
        return replace(self, rows=self.rows[chosen], states=self.states[chosen])


NO_MOMENTS: Final = Moments()


@dataclass(frozen=True, slots=True)
class Triggers:
    """Events of some types, for each shopper at most one in `every_ms` of the time at which they are applied."""

    is_trigger: Booleans
    """By the code of a type (`Shop.event_types`), then IMPRESSION_CODE, which is none."""
    every_ms: int = 0

    @classmethod
    def of(cls, types: frozenset[str], shop: Shop = NO_SHOP, *, every_ms: int = 0) -> Self:
        """Return those of these types."""
        return cls(np.array([*(name in types for name in shop.event_types), False], np.bool_), every_ms)

    def before(self, states: States, users: Integers, batch: EventBatch) -> tuple[Integers, States]:
        """Return which states `(users,)` belong to shoppers with such an event, and copies of them.

        `users[i]` is the state of event i, as in `prepare_batch`, before which this has to be called.
        """
        chosen = np.unique(users[self._are_meant(batch)])
        return chosen, states[chosen]

    def moments(
        self, before: tuple[Integers, States], states: States, batch: EventBatch, source: Source, appended: Appended
    ) -> Moments:
        """Return the moments of a batch, and note them in its states; `before` is what the function of that name gave.

        `appended` is what became of `batch` in `states`.
        """
        users, earlier = before
        places = np.flatnonzero(self._are_meant(batch)[appended.rows])
        places = places[self._due(states["recommended_ms"], appended.users[places], appended.time_ms[places])]
        if not len(places):
            return NO_MOMENTS
        found = _states_after(earlier, np.searchsorted(users, appended.users), batch, source, appended, places)
        order = np.argsort(appended.rows[places])
        return Moments(appended.rows[places][order], found[order])

    def _are_meant(self, batch: EventBatch) -> Booleans:
        are_meant: Booleans = self.is_trigger[batch.type_codes if batch.own is None else batch.own.types]
        return are_meant

    def _due(self, recommended_ms: Integers, users: Integers, times_ms: Integers) -> Integers:
        """Return the positions of those events that are not too early, and put their times into `recommended_ms`.

        `recommended_ms` are the last times `(states,)`; the events' times rise for each of `users`, which is sorted.
        """
        due = np.flatnonzero(times_ms - recommended_ms[users] >= self.every_ms)  # later ones only leave fewer
        if self.every_ms:
            last, kept = recommended_ms, []
            for place, user, time_ms in zip(due.tolist(), users[due].tolist(), times_ms[due].tolist(), strict=True):
                if time_ms - last[user] >= self.every_ms:
                    last[user] = time_ms
                    kept.append(place)
            due = np.array(kept, np.int64)
        else:
            recommended_ms[users[due]] = times_ms[due]
        return due


def _states_after(  # noqa: PLR0913, PLR0917 - what a batch was appended from
    states: States, users: Integers, batch: EventBatch, source: Source, appended: Appended, places: Integers
) -> States:
    """Return the states `(places,)` right after some of the appended events, from those before the batch.

    `users` `(appended,)` are positions in `states`, which are changed. In round r everybody's events up to the r-th
    place are appended.
    """
    is_place = np.zeros(len(appended), np.bool_)
    is_place[places] = True
    runs = Runs.of(appended.users)
    before: Integers = np.cumsum(is_place) - is_place
    rounds: Integers = before - before[runs.starts][runs.index]
    is_needed = rounds < np.add.reduceat(is_place.astype(np.int64), runs.starts)[runs.index]
    found = np.empty(len(places), states.dtype)
    for number in range(int(rounds[places].max()) + 1):
        some = np.flatnonzero(is_needed & (rounds == number))
        rows, of_users = appended.rows[some], users[some]
        part, source_of_part = batch.take(rows), Source(source.code, source.offsets[rows])
        remember_more(states, append_events(states["sequence"], of_users, part, source_of_part), part)
        reached = np.flatnonzero(rounds[places] == number)
        found[reached] = states[users[places[reached]]]
    return found
