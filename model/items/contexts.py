"""What is known of a shopper when the next item is asked for: the items of the last events, the latest first."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.horizons import SESSION_GAP_MS
from model.sequence import RING_EVENTS, stored_events

PLACES: Final = RING_EVENTS
"""How many events with an item count at most: as many as a sequence state holds."""
NO_ITEM: Final = -1

RowsOf = Callable[[npt.NDArray[np.uint32]], npt.NDArray[np.int32]]
"""Returns the rows of items by their codes, NO_ITEM for one that is not known."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """The last events with an item of some shoppers; place 0 is the latest, and places without one have NO_ITEM."""

    items: npt.NDArray[np.int32]
    """Rows of the items that are recommended `(contexts, PLACES)`."""
    types: npt.NDArray[np.uint8]
    """Positions in EVENT_TYPES `(contexts, PLACES)`."""
    ages: npt.NDArray[np.float32]
    """log1p of the seconds since, at the time of the shopper's last event `(contexts, PLACES)`."""
    in_session: npt.NDArray[np.bool_]
    """Whether no gap of more than SESSION_GAP_MS lies between it and the shopper's last event `(contexts, PLACES)`."""

    def __len__(self) -> int:
        return len(self.items)

    def take(self, chosen: npt.NDArray[np.int64]) -> Self:
        """Return some of them, in this order."""
        return type(self)(*(getattr(self, column.name)[chosen] for column in fields(self)))

    def without(self, places: npt.NDArray[np.int64]) -> Self:
        """Return them without some places `(left out,)`; those after them move up."""
        columns = (np.delete(getattr(self, column.name), places, axis=1) for column in fields(self))
        return type(self)(*columns)

    @classmethod
    def empty(cls) -> Self:
        """Return the context of somebody who has done nothing."""
        nothing = (1, 0)
        return cls(
            np.empty(nothing, np.int32),
            np.empty(nothing, np.uint8),
            np.empty(nothing, np.float32),
            np.empty(nothing, np.bool_),
        )

    @classmethod
    def of_events(  # noqa: PLR0913, PLR0917 - columns
        cls,
        rows: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        items: npt.NDArray[np.int32],
        types: npt.NDArray[np.uint8],
        time_ms: npt.NDArray[np.int64],
        sessions: npt.NDArray[np.int64],
    ) -> Self:
        """Return the contexts after some events with an item `(rows,)`, each that of its shopper's `(rows,)` first.

        The other columns are of all events with an item, by shopper and in order.
        """
        places = rows[:, None] - np.arange(PLACES)
        is_there = places >= starts[:, None]
        places = np.maximum(places, 0)
        ages = np.log1p(np.where(is_there, time_ms[rows, None] - time_ms[places], 0) / 1000)
        return cls(
            np.where(is_there, items[places], NO_ITEM).astype(np.int32),
            types[places],
            ages.astype(np.float32),
            is_there & (sessions[places] == sessions[rows, None]),
        )

    @classmethod
    def of_states(cls, states: npt.NDArray[np.void], rows_of: RowsOf) -> tuple[Self, npt.NDArray[np.void]]:
        """Return the contexts of the shoppers' states `(users,)`; `rows_of` returns the rows of item codes.

        And the events that they hold, by shopper, the last one first, by event the latest one first.
        """
        users, events = stored_events(states["sequence"], item_ends=states["item_ends"])
        # By shopper, the latest event first.
        users, events = users[::-1], events[::-1]
        last_ms = states["sequence"]["last_time_ms"][users].astype(np.int64)
        since_s = last_ms // 1000 - events["time_s"]
        # A session goes on from an event to the one before it, of the same shopper, that is not too far away.
        goes_on = np.ones(len(users), np.bool_)
        goes_on[1:] = (users[1:] != users[:-1]) | (-np.diff(events["time_s"]) * 1000 <= SESSION_GAP_MS)
        breaks = np.cumsum(~goes_on)
        first = np.searchsorted(-users, -users)  # the latest event of each event's shopper
        in_session = breaks == breaks[first]
        kept = np.flatnonzero(events["item"] & 0xFFFF)
        kept_users = users[kept]
        place = np.arange(len(kept)) - np.searchsorted(-kept_users, -kept_users)
        shape = len(states), PLACES
        found = cls(
            np.full(shape, NO_ITEM, np.int32),
            np.zeros(shape, np.uint8),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.bool_),
        )
        at = kept_users, place
        found.items[at] = rows_of(events["item"][kept])
        found.types[at] = events["type"][kept]
        found.ages[at] = np.log1p(since_s[kept])
        found.in_session[at] = in_session[kept]
        return found, events[kept]
