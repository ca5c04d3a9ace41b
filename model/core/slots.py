"""Which slot of some arrays belongs to which shopper or item: a hash table over byte strings, in compiled loops.

Open addressing with linear probing; at most half of the table is in use. The hash is seeded, so that nobody can choose
ids that collide. Who is removed leaves no tombstone: those behind move up, as if that one had never been there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from model.core.hashing import seeded_hash

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
_Scalar = TypeVar("_Scalar", bound=np.generic)

_FIRST_SLOTS: Final = 1024
_FIRST_BYTES: Final = 32 * _FIRST_SLOTS
_SEED: Final = np.random.default_rng().integers(2**64, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct strings of a sequence, in order of their first appearance."""

    strings: ByteStrings
    hashes: Hashes
    index: Integers
    """For each of the sequence, its place among the distinct ones."""

    @classmethod
    def of(cls, given: Sequence[bytes | None]) -> "Distinct":
        """Find the distinct strings; None counts as empty."""
        strings, count = ByteStrings.of(given), len(given)
        index, firsts, hashes = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.uint64)
        table = np.full(_table_size(count), -1, np.int32)
        distinct = find_distinct(strings.buffer, strings.spans, _SEED, table, index, firsts, hashes)
        return cls(strings.take(firsts[:distinct]), hashes[:distinct], index)


class Slots:
    """Numbers shoppers, or items, 0, 1, 2 ... in the order in which they come; the numbers of who was removed first."""

    def __init__(self) -> None:
        self.end = 0
        """Above all slots that were ever given."""
        self._free = np.empty(0, np.int64)
        self._used_bytes = 0
        self._free_bytes = 0
        self._keys = np.empty(_FIRST_BYTES, np.uint8)
        self._spans = np.empty((_FIRST_SLOTS, 2), np.int64)
        self._hashes = np.empty(_FIRST_SLOTS, np.uint64)
        self._table = np.full(_table_size(_FIRST_SLOTS), -1, np.int32)

    def __len__(self) -> int:
        return self.end - len(self._free)

    @property
    def users(self) -> ByteStrings:
        """The shoppers, by slot; None where one was removed."""
        return ByteStrings(self._keys, self._spans[: self.end])

    def find(self, users: Distinct) -> Integers:
        """Return the slots of shoppers `(users,)`, -1 for those who have none."""
        slots = np.empty(len(users.strings), np.int64)
        table = (self._table, self._hashes, self._keys, self._spans)
        find_slots(*table, users.strings.buffer, users.strings.spans, users.hashes, slots)
        return slots

    def slot(self, user: bytes) -> int:
        """Return the slot of one shopper, -1 if there is none: an answer waits for it."""
        key = np.frombuffer(bytearray(user), np.uint8)  # as writable as any array, for which the loop is compiled
        return int(find_slot(self._table, self._hashes, self._keys, self._spans, key, _SEED))

    def add(self, users: Distinct, found: Integers) -> Integers:
        """Return the slots of shoppers `(users,)`; who was not found by `find` gets one."""
        slots = found.copy()
        new = np.flatnonzero(slots < 0)
        spans = users.strings.spans[new]
        self.make_room(len(new), int((spans[:, 1] - spans[:, 0]).sum()))
        reused, self._free = self._free[: len(new)], self._free[len(new) :]
        slots[new] = np.concatenate([reused, np.arange(self.end, self.end + len(new) - len(reused))])
        table = (self._table, self._hashes, self._keys, self._spans)
        strings = (users.strings.buffer, spans, users.hashes[new], slots[new])
        self._used_bytes = add_slots(*table, *strings, self._used_bytes)
        self.end += len(new) - len(reused)
        return slots

    def remove(self, slots: Integers) -> None:
        """Free slots that shoppers have, each of them once; memory keeps the ids until `compact`."""
        self._free_bytes += remove_slots(self._table, self._hashes, self._spans, slots)
        self._free = np.concatenate([self._free, slots])

    def compact(self) -> None:
        """Forget the ids of who was removed; what `users` returned before keeps them for as long as it lives."""
        keys, spans = np.zeros_like(self._keys), self._spans.copy()
        self._used_bytes = copy_keys(self._keys, spans[: self.end], keys)
        self._keys, self._spans, self._free_bytes = keys, spans, 0

    def make_room(self, users: int, key_bytes: int) -> None:
        """Prepare for that many more shoppers, with ids of that many bytes in all."""
        if self._used_bytes + key_bytes > len(self._keys) and 2 * self._free_bytes > self._used_bytes:
            self.compact()
        if self._used_bytes + key_bytes > len(self._keys):
            self._keys = grown(self._keys, self._used_bytes + key_bytes)
        if (end := self.end + users - len(self._free)) > len(self._hashes):
            self._spans = grown(self._spans, end)
            self._hashes = grown(self._hashes, end)
            self._table = np.full(_table_size(len(self._hashes)), -1, np.int32)
            fill_table(self._table, self._hashes[: self.end], self._spans)


def grown(array: npt.NDArray[_Scalar], length: int) -> npt.NDArray[_Scalar]:
    """Return an array of at least that length that begins with this one; what is not written takes no memory yet."""
    larger = np.empty((max(length, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _table_size(slots: int) -> int:
    """Return a power of two of which the slots fill at most a half."""
    return 1 << max(2 * slots - 1, 1).bit_length()


@compiled
def find_distinct(  # noqa: PLR0913, PLR0917 - columns
    buffer: Bytes,
    spans: Integers,
    seed: np.uint64,
    table: npt.NDArray[np.int32],
    index: Integers,
    firsts: Integers,
    hashes: Hashes,
) -> int:
    """Fill `index`, and `firsts` and `hashes` of the distinct strings; returns how many there are."""
    count, mask = 0, np.int64(len(table) - 1)
    for row in range(len(spans)):
        start, end = spans[row]
        key = seeded_hash(buffer, start, end, seed)
        place = np.int64(key >> np.uint64(1)) & mask
        while table[place] >= 0:
            found = table[place]
            first = firsts[found]
            if hashes[found] == key and _is_same(buffer, start, end, buffer, spans[first, 0], spans[first, 1]):
                break
            place = (place + 1) & mask
        if table[place] < 0:
            table[place], firsts[count], hashes[count] = count, row, key
            count += 1
        index[row] = table[place]
    return count


@compiled
def find_slots(  # noqa: PLR0913, PLR0917 - columns
    table: npt.NDArray[np.int32],
    slot_hashes: Hashes,
    slot_keys: Bytes,
    slot_spans: Integers,
    buffer: Bytes,
    spans: Integers,
    hashes: Hashes,
    slots: Integers,
) -> None:
    """Fill `slots` with those of the strings, -1 for none."""
    for row in range(len(spans)):
        string = buffer[spans[row, 0] : spans[row, 1]]
        slots[row] = _found(table, slot_hashes, slot_keys, slot_spans, string, hashes[row])


@compiled
def find_slot(  # noqa: PLR0913, PLR0917 - columns
    table: npt.NDArray[np.int32],
    slot_hashes: Hashes,
    slot_keys: Bytes,
    slot_spans: Integers,
    string: Bytes,
    seed: np.uint64,
) -> int:
    """Return the slot of a string, -1 for none."""
    return _found(table, slot_hashes, slot_keys, slot_spans, string, seeded_hash(string, 0, len(string), seed))


@compiled
def _found(  # noqa: PLR0913, PLR0917 - columns
    table: npt.NDArray[np.int32],
    slot_hashes: Hashes,
    slot_keys: Bytes,
    slot_spans: Integers,
    string: Bytes,
    key: np.uint64,
) -> int:
    mask = np.int64(len(table) - 1)
    place = np.int64(key >> np.uint64(1)) & mask
    while table[place] >= 0:
        slot = table[place]
        if slot_hashes[slot] == key and _is_same(
            string, 0, len(string), slot_keys, slot_spans[slot, 0], slot_spans[slot, 1]
        ):
            return int(slot)
        place = (place + 1) & mask
    return -1


@compiled
def add_slots(  # noqa: PLR0913, PLR0917 - columns
    table: npt.NDArray[np.int32],
    slot_hashes: Hashes,
    slot_keys: Bytes,
    slot_spans: Integers,
    buffer: Bytes,
    spans: Integers,
    hashes: Hashes,
    slots: Integers,
    used_bytes: int,
) -> int:
    """Store strings in slots of their own; returns how many bytes of keys are in use."""
    for row in range(len(spans)):
        slot, length = slots[row], spans[row, 1] - spans[row, 0]
        for place in range(length):
            slot_keys[used_bytes + place] = buffer[spans[row, 0] + place]
        slot_spans[slot, 0], slot_spans[slot, 1] = used_bytes, used_bytes + length
        slot_hashes[slot] = hashes[row]
        used_bytes += length
        _put(table, hashes[row], slot)
    return used_bytes


@compiled
def fill_table(table: npt.NDArray[np.int32], hashes: Hashes, spans: Integers) -> None:
    """Put slots 0, 1, 2 ... that are somebody's into an empty table."""
    for slot in range(len(hashes)):
        if spans[slot, 0] >= 0:
            _put(table, hashes[slot], slot)


@compiled
def remove_slots(table: npt.NDArray[np.int32], hashes: Hashes, spans: Integers, slots: Integers) -> int:
    """Take slots out of the table; returns how many bytes of keys they had.

    Whoever was put behind one of them, because its place was taken, moves up (Knuth, volume 3, 6.4, algorithm R).
    """
    mask, freed = np.int64(len(table) - 1), 0
    for slot in slots:
        hole = np.int64(hashes[slot] >> np.uint64(1)) & mask
        while table[hole] != slot:
            hole = (hole + 1) & mask
        place = (hole + 1) & mask
        while table[place] >= 0:
            home = np.int64(hashes[table[place]] >> np.uint64(1)) & mask
            if (place - home) & mask >= (place - hole) & mask:
                table[hole] = table[place]
                hole = place
            place = (place + 1) & mask
        table[hole] = -1
        freed += spans[slot, 1] - spans[slot, 0]
        spans[slot, 0], spans[slot, 1] = -1, -1
    return freed


@compiled
def copy_keys(keys: Bytes, spans: Integers, out: Bytes) -> int:
    """Copy the keys that spans name into `out`, one behind the other, and let the spans name them there.

    Returns how many bytes they take.
    """
    used = 0
    for slot in range(len(spans)):
        start, end = spans[slot]
        if start >= 0:
            for place in range(end - start):
                out[used + place] = keys[start + place]
            spans[slot, 0], spans[slot, 1] = used, used + end - start
            used += end - start
    return used


@compiled
def _put(table: npt.NDArray[np.int32], key: np.uint64, slot: int) -> None:
    mask = np.int64(len(table) - 1)
    place = np.int64(key >> np.uint64(1)) & mask
    while table[place] >= 0:
        place = (place + 1) & mask
    table[place] = slot


@compiled
def _is_same(  # noqa: PLR0913, PLR0917 - two strings
    one: Bytes, start: int, end: int, other: Bytes, other_start: int, other_end: int
) -> bool:
    if end - start != other_end - other_start:
        return False
    is_same = True
    for place in range(end - start):
        is_same &= one[start + place] == other[other_start + place]
    return is_same
