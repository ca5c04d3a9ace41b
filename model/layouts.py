"""Earlier layouts of a sequence state, which a changelog may still hold, and how they become the one of now."""

from typing import Final

import numpy as np
import numpy.typing as npt

from model.sequence import LAYOUT, RECENT_DECAY_SECONDS, SEQUENCE, new_sequences

_LAYOUT_4: Final = np.dtype(
    [
        ("layout", "u1"),
        ("model", "<u4"),
        ("source", "<u4"),
        ("offset", "<i8"),
        ("events", "<u4"),
        ("sessions", "<u4"),
        ("carts", "<u4"),
        ("purchases", "<u4"),
        ("first_time_s", "<u4"),
        ("session_events", "<u4"),
        ("session_start_s", "<u4"),
        ("last_time_ms", "<i8"),
        ("recent", "<f4", (5, 4)),
        ("last_seen_s", "<u4", (5,)),
        ("ids", "<u4", (64,)),
        ("id_ends", "u1", (32,)),
        ("ring_items", "<u2", (32,)),
        ("ring_categories", "<u2", (32,)),
        ("ring_events", "<u4", (32,)),
        ("words", "<u2", (4, 4)),
    ]
)
_LAYOUT_5: Final = np.dtype(
    [
        *_LAYOUT_4.descr[:12],
        ("recent", "<f4", (5, 3)),
        ("last_seen_s", "<u4", (5,)),
        ("forgotten_s", "<u4"),
        ("block_latest_s", "<u4", (4,)),
        *_LAYOUT_4.descr[14:],
    ]
)
SEQUENCES: Final = {4: _LAYOUT_4, 5: _LAYOUT_5, LAYOUT: SEQUENCE}
"""The dtype of a sequence, by the layout that its first byte names."""


def as_now(sequences: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return records `(users,)` of a layout in SEQUENCES as SEQUENCE records: fields that have gone are left out."""
    if sequences.dtype == SEQUENCE:
        return sequences
    records = new_sequences(len(sequences))
    for name in set(SEQUENCE.names or ()) & set(sequences.dtype.names or ()) - {"layout", "recent"}:
        records[name] = sequences[name]
    # Layout 4 held a fourth count, of 14 days.
    records["recent"] = sequences["recent"][:, :, : len(RECENT_DECAY_SECONDS)]
    if "block_latest_s" not in (sequences.dtype.names or ()):
        # Nor did it know how late each block of ids came: none later than the latest event.
        records["block_latest_s"] = sequences["last_time_ms"][:, None] // 1000
    return records
