"""Reading the events with an item from one shopper's ring, in a plain loop."""

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
) -> int:
    """Fill the columns with the events of the first of `sequences` that have an item, the latest first.

    `item_ends` `(RING_EVENTS,)` are the upper halves of their codes. Returns how many there are. Times and hashes are
    as `model.sequence.stored_events` has them; `in_session` says whether an event is of the session of the last one.
    """
    state, count, breaks = sequences[0], 0, np.int64(0)
    time_s = np.int64(state.last_time_ms // 1000)
    for back in range(min(state.events, RING_EVENTS)):
        number = np.int64(state.events) - 1 - back
        slot, id_slot = number % RING_EVENTS, number % REMEMBERED_IDS
        packed = np.int64(state.ring_events[slot])
        if state.ring_items[slot] > 0:
            codes[count] = np.uint32(item_ends[slot]) << np.uint32(16) | np.uint32(state.ring_items[slot])
            types[count], times_s[count], in_session[count] = packed & (HAS_WORDS - 1), time_s, breaks == 0
            end = (np.uint64(state.id_ends[id_slot // 2]) >> np.uint64(id_slot % 2 * 4)) & np.uint64(15)
            id_hashes[count] = np.uint64(state.ids[id_slot]) << np.uint64(4) | end
            count += 1
        gap_s = gap_seconds(packed >> GAP_SHIFT)
        breaks += gap_s * 1000 > SESSION_GAP_MS
        time_s -= gap_s
    return count
