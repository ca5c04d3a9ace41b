"""A user's sequence state: one numpy structured record. `model.core.append` appends events to it."""

from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from model.text import TOKENS

LAYOUT: Final = 3
"""Version of the record's layout; a state of another layout is refused, never misread."""
RING_EVENTS: Final = 32
REMEMBERED_IDS: Final = 64

PRICE_UNITS: Final = 2048
NO_PRICE: Final = 65_535

RECENT_GROUPS: Final = ("view", "search", "favorite", "cart", "purchase")
"""Groups of event types whose recent counts are kept; a checkout counts as cart, other types in no group."""
RECENT_DECAY_SECONDS: Final = (15 * 60, 4 * 3600, 48 * 3600, 14 * 86_400)
"""Time constants of the exponentially decayed counts."""

RING_EVENT: Final = np.dtype(
    [
        ("time_s", "<u4"),  # Unix seconds; 0 marks an empty slot
        ("item", "<u2"),
        ("category", "<u2"),
        ("price", "<u2"),  # log1p of the price in units of 1 / PRICE_UNITS, NO_PRICE for none
        ("type", "u1"),
        ("tokens", "<u2", (TOKENS,)),  # words that the shopper wrote, 0 for none
    ]
)
SEQUENCE: Final = np.dtype(
    [
        ("layout", "u1"),
        ("model", "<u4"),  # hash of the model version that wrote `carried`; 0 for none
        ("source", "<u4"),  # hash of the source that `offset` counts in
        ("offset", "<i8"),  # the last source offset applied, -1 for none
        ("events", "<u4"),  # accepted so far
        ("sessions", "<u4"),
        ("first_time_s", "<u4"),  # when the first event happened
        ("totals", "<u4", (len(RECENT_GROUPS),)),  # accepted so far, by group
        ("session_events", "<u4"),
        ("session_start_s", "<u4"),
        ("last_time_ms", "<i8"),  # the latest event time so far
        ("recent", "<f4", (len(RECENT_GROUPS), len(RECENT_DECAY_SECONDS))),
        ("last_seen_s", "<u4", (len(RECENT_GROUPS),)),  # when an event of the group was last seen, 0 for never
        # Ring buffers: the accepted event number n, from 0, is in slot n % REMEMBERED_IDS, or n % RING_EVENTS.
        ("event_hashes", "<u8", (REMEMBERED_IDS,)),  # of the last accepted events, 0 for none
        ("ring", RING_EVENT, (RING_EVENTS,)),  # the last accepted events
    ]
)


def state_dtype(carried_floats: int, horizons: int) -> np.dtype[np.void]:
    """Return the table value's dtype for a model that carries `carried_floats` numbers from event to event.

    `latest` holds the propensities after the last event, one per horizon, NaN if unknown; look-ups read them.
    """
    return np.dtype([("sequence", SEQUENCE), ("carried", "<f4", (carried_floats,)), ("latest", "<f4", (horizons,))])


def new_sequences(users: int) -> npt.NDArray[np.void]:
    """Return the `(users,)` records of users who have done nothing yet."""
    records = np.zeros(users, SEQUENCE)
    records["layout"] = LAYOUT
    records["offset"] = -1
    return records


def source_code(identity: str) -> int:
    """Return the hash that identifies the source of a state's offset."""
    return xxhash.xxh32_intdigest(identity.encode())


def stored_events(sequences: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the user and the ring slot of every stored event `(events,)`: by user, oldest first."""
    # Slot of the k-th oldest of the last RING_EVENTS events: those numbered events - RING_EVENTS to events - 1.
    slots = (sequences["events"].astype(np.int64)[:, None] + np.arange(RING_EVENTS)) % RING_EVENTS  # (users, ring)
    stored = np.take_along_axis(sequences["ring"]["time_s"], slots, axis=1) > 0
    users, places = np.nonzero(stored)
    return users, slots[users, places]


def hashes_of_stored(sequence: npt.NDArray[np.void], slots: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the id hashes of the events in some ring slots of one `(1,)` record."""
    events = int(sequence["events"][0])
    numbers = events - 1 - (events - 1 - slots) % RING_EVENTS  # the accepted events in these slots
    hashes: npt.NDArray[np.uint64] = sequence["event_hashes"][0, numbers % REMEMBERED_IDS]
    return hashes
