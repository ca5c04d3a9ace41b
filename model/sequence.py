"""A user's sequence state: one numpy structured record. `model.append` appends events to it."""

from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from model.text import TOKENS

LAYOUT: Final = 2
"""Version of the record's layout; a state of another layout is refused, never misread."""
RING_EVENTS: Final = 32
REMEMBERED_IDS: Final = 64

RECENT_GROUPS: Final = ("view", "search", "favorite", "cart", "purchase")
"""Groups of event types whose recent counts are kept; a checkout counts as cart, other types in no group."""
RECENT_DECAY_SECONDS: Final = (15 * 60, 4 * 3600, 48 * 3600, 14 * 86_400)
"""Time constants of the exponentially decayed counts."""

RING_EVENT: Final = np.dtype(
    [
        ("time_s", "<u4"),  # Unix seconds; 0 marks an empty slot
        ("item", "<u2"),
        ("category", "<u2"),
        ("price", "<f2"),  # log1p of the price, NaN for none
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
        ("event_hashes", "<u8", (REMEMBERED_IDS,)),  # of the last accepted events, oldest first, 0 for none
        ("ring", RING_EVENT, (RING_EVENTS,)),  # the last accepted events, oldest first
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
