"""The 32-bit code of an item: what a history, an index and a state can hold of an id of any length.

Its low 16 bits are `model.batch.id_code`, which the ring of a sequence state holds: what is known of all items can be
looked up by either.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

_CODES: Final = 65535


def item_code(item_id: str) -> int:
    """Return the code of an item's id; never 0, which stands for none."""
    digest = xxhash.xxh3_64_intdigest(item_id.encode())
    return (digest // _CODES) % 65536 << 16 | (digest % _CODES + 1)


def item_codes(ids: Sequence[str | None]) -> npt.NDArray[np.uint32]:
    """Return the codes of items' ids `(ids,)`, 0 for None and for an empty id."""
    return np.array([item_code(item_id) if item_id else 0 for item_id in ids], np.uint32)
