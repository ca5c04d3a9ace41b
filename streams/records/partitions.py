"""The partitions of many keys at once; `service.partitioner` says the same of one."""

import numpy as np

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from service.partitioner import MASK, MULTIPLIER, POSITIVE, SEED
from streams.records.layout import Bytes, Integers


def partitions_of(keys: ByteStrings, partitions: int) -> Integers:
    """Return the partition of each key."""
    found = np.empty(len(keys), np.int64)
    find_partitions(keys.buffer, keys.spans, partitions, found)
    return found


@compiled
def find_partitions(buffer: Bytes, spans: Integers, partitions: int, found: Integers) -> None:
    """Write the partition of each key."""
    for row in range(len(spans)):
        start, length = spans[row, 0], spans[row, 1] - spans[row, 0]
        hashed, rest = (SEED ^ length) & MASK, length % 4
        for at in range(start, start + length - rest, 4):
            word = (_word(buffer, at, 4) * MULTIPLIER) & MASK
            word = ((word ^ (word >> 24)) * MULTIPLIER) & MASK
            hashed = ((hashed * MULTIPLIER) ^ word) & MASK
        if rest > 0:
            hashed = ((hashed ^ _word(buffer, start + length - rest, rest)) * MULTIPLIER) & MASK
        hashed = ((hashed ^ (hashed >> 13)) * MULTIPLIER) & MASK
        found[row] = ((hashed ^ (hashed >> 15)) & POSITIVE) % partitions


@compiled
def _word(buffer: Bytes, at: int, count: int) -> int:
    """Return a number of bytes, the first of which is the lowest."""
    word = np.int64(0)
    for place in range(count):
        word |= np.int64(buffer[at + place]) << (8 * place)
    return int(word)
