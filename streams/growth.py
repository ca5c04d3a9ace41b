"""After partitions were added: a partition lets go of who is in another one now, and refuses who was forgotten there.

Shoppers whose key leads elsewhere begin anew (docs/operations.md): the states and notes that they leave behind would
never be found again, also not by who wants them to be forgotten. And a request to forget lies where the shopper's
events were: those who moved here are to be refused here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from model.core.byte_strings import ByteStrings
from streams.messages import FORGOTTEN
from streams.partition_states import PartitionStates
from streams.records.partitions import partitions_of

_SEEN: Final = "partitions"
"""Kind of the note of how many partitions there were when these states were last written."""
_COUNT: Final = b"count"


def settle_in(
    states: PartitionStates, partitions: int, asked: Callable[[], Mapping[bytes, int]], kinds: tuple[str, ...]
) -> None:
    """Do what the number of partitions asks for, if it is another than these states know; once they are restored.

    `asked` returns when each digest on the forget topic was asked for last, whatever its partition; notes of these
    `kinds` have ids as keys. Nothing that another partitioner than Java's put here is let go.
    """
    before = int(states.notes(_SEEN).get(_COUNT, b"0"))
    if before == partitions:
        return
    for digest, requested_at in asked().items():
        if digest not in states.notes(FORGOTTEN):
            states.note(FORGOTTEN, digest, b"%d" % requested_at)
    if before:
        states.remove(_moved(states, states.partition, before, partitions))
        for kind in kinds:
            for key in _moved(states.notes(kind), states.partition, before, partitions):
                states.note(kind, key, None)
    states.note(_SEEN, _COUNT, b"%d" % partitions)


def _moved(ids: Iterable[bytes], partition: int, before: int, now: int) -> list[bytes]:
    """Return those ids of a partition that lie in another one now."""
    known = list(ids)
    keys = ByteStrings.of(known)
    has_moved = (partitions_of(keys, before) == partition) & (partitions_of(keys, now) != partition)
    return [known[place] for place in np.flatnonzero(has_moved).tolist()]
