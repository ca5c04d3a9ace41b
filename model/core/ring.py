"""Reading the events with an item from shoppers' rings, in plain loops."""

import numpy as np
import numpy.typing as npt

from model.core.compiled import StateRecord, compiled
from model.core.features import gap_seconds
from model.horizons import SESSION_GAP_MS
from model.sequence import GAP_SHIFT, HAS_WORDS, REMEMBERED_IDS, RING_EVENTS


@compiled
def read_items(  # noqa: PLR0913, PLR0917 - columns
    sequences: StateRecord,
    item_ends: npt.NDArray[np.uint16],
    codes: npt.NDArray[np.uint32],
    types: npt.NDArray[np.uint8],
    times_s: npt.NDArray[np.int64],
    id_hashes: npt.NDArray[np.uint64],
    in_session: npt.NDArray[np.bool_],
) -> None:
    """Fill the columns with the events of each of `sequences` that have an item, the latest first.

    All are `(sequences, RING_EVENTS)`. `item_ends` are the upper halves of their codes; behind the last event `codes`
    are 0. Times and hashes are as `model.sequence.stored_events` has them; `in_session` says whether an event is of the
    session of the last one.
    """
    for row in range(len(sequences)):
        state, count, breaks = sequences[row], 0, np.int64(0)
        time_s = np.int64(state.last_time_ms // 1000)
        for back in range(min(state.events, RING_EVENTS)):
            number = np.int64(state.events) - 1 - back
            slot, id_slot = number % RING_EVENTS, number % REMEMBERED_IDS
            packed = np.int64(state.ring_events[slot])
            if state.ring_items[slot] > 0:
                codes[row, count] = np.uint32(item_ends[row, slot]) << np.uint32(16) | np.uint32(state.ring_items[slot])
                types[row, count], times_s[row, count] = packed & (HAS_WORDS - 1), time_s
                in_session[row, count] = breaks == 0
                end = (np.uint64(state.id_ends[id_slot // 2]) >> np.uint64(id_slot % 2 * 4)) & np.uint64(15)
                id_hashes[row, count] = np.uint64(state.ids[id_slot]) << np.uint64(4) | end
                count += 1
            gap_s = gap_seconds(packed >> GAP_SHIFT)
            breaks += gap_s * 1000 > SESSION_GAP_MS
            time_s -= gap_s
        codes[row, count:] = 0


@compiled
def keep_known(
    items: npt.NDArray[np.int32],
    types: npt.NDArray[np.uint8],
    times_s: npt.NDArray[np.int64],
    id_hashes: npt.NDArray[np.uint64],
    in_session: npt.NDArray[np.bool_],
) -> None:
    """Leave out the events whose item is -1: those behind move up, and behind the last one `items` are -1."""
    for row in range(len(items)):
        count = 0
        for place in range(items.shape[1]):
            if items[row, place] >= 0:
                items[row, count], types[row, count] = items[row, place], types[row, place]
                times_s[row, count], id_hashes[row, count] = times_s[row, place], id_hashes[row, place]
                in_session[row, count] = in_session[row, place]
                count += 1
        items[row, count:] = -1
