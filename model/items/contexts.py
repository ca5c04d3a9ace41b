"""What is known of a shopper when the next item is asked for: the items of the last events, the latest first."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.core.ring import read_items
from model.sequence import RING_EVENTS

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
    def of_state(cls, state: npt.NDArray[np.void], rows_of: RowsOf) -> "tuple[Self, HeldEvents]":
        """Return the context of a shopper's state `(1,)`, of as many places as there are, and its events.

        `rows_of` returns the rows of item codes; events of items that are not known are left out.
        """
        codes, types, times_s = np.empty(PLACES, np.uint32), np.empty(PLACES, np.uint8), np.empty(PLACES, np.int64)
        hashes, in_session = np.empty(PLACES, np.uint64), np.empty(PLACES, np.bool_)
        sequence = state["sequence"]
        count = read_items(sequence, state["item_ends"][0], codes, types, times_s, hashes, in_session)
        rows = rows_of(codes[:count])
        known = np.flatnonzero(rows != NO_ITEM)
        ages = np.log1p(int(sequence["last_time_ms"][0]) // 1000 - times_s[known])
        context = cls(rows[known][None], types[known][None], ages.astype(np.float32)[None], in_session[known][None])
        return context, HeldEvents(times_s[known], types[known], hashes[known])


@dataclass(frozen=True, slots=True)
class HeldEvents:
    """What a state holds of a context's events, the latest first, as in `model.sequence.STORED_EVENT`."""

    times_s: npt.NDArray[np.int64]
    types: npt.NDArray[np.uint8]
    id_hashes: npt.NDArray[np.uint64]


NO_EVENTS: Final = HeldEvents(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.uint64))
