"""What is known of a shopper when the next item is asked for: the items of the last events, the latest first."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.core.ring import keep_known, read_items
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
    def of_states(cls, states: npt.NDArray[np.void], rows_of: RowsOf) -> "tuple[Self, HeldEvents]":
        """Return the contexts of shoppers' states `(shoppers,)`, and their events.

        `rows_of` returns the rows of item codes; events of items that are not known are left out.
        """
        shape = len(states), PLACES
        codes, types, times_s = np.empty(shape, np.uint32), np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
        hashes, in_session = np.zeros(shape, np.uint64), np.zeros(shape, np.bool_)
        sequences = states["sequence"]
        read_items(sequences, states["item_ends"], codes, types, times_s, hashes, in_session)
        items = rows_of(codes.ravel()).reshape(shape)
        keep_known(items, types, times_s, hashes, in_session)
        last_s = sequences["last_time_ms"][:, None] // 1000
        ages = np.log1p(np.where(items == NO_ITEM, 0, last_s - times_s))
        return cls(items, types, ages.astype(np.float32), in_session), HeldEvents(times_s, types, hashes)


@dataclass(frozen=True, slots=True)
class HeldEvents:
    """What states hold of contexts' events, as in `model.sequence.STORED_EVENT`, each `(contexts, PLACES)`."""

    times_s: npt.NDArray[np.int64]
    types: npt.NDArray[np.uint8]
    id_hashes: npt.NDArray[np.uint64]
