"""Finding an item's row by its code, and keeping its texts, in compiled loops.

Rows are found while others are added: a table only gains entries, and one that is too small is replaced as a whole.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.compiled import compiled
from model.core.slots import grown

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint32]
Integers = npt.NDArray[np.int64]

_FIRST_ROWS: Final = 1024
_MIX: Final = np.uint32(0x9E3779B1)  # the golden ratio in 32 bits: neighbouring codes go to places far apart
LENGTH_BITS: Final = 20
MOST_BYTES: Final = (1 << LENGTH_BITS) - 1


@dataclass(frozen=True, slots=True)
class _Table:
    places: npt.NDArray[np.int32]
    """Rows by place `(2 ** n,)`, -1 for none; at most half of them are taken."""
    codes: Codes
    """By row."""


class RowsByCode:
    """Which row has which code; of several with the same code, the first."""

    def __init__(self) -> None:
        self._count = 0
        self._table = _Table(np.full(2 * _FIRST_ROWS, -1, np.int32), np.empty(_FIRST_ROWS, np.uint32))

    def find(self, codes: Codes) -> Integers:
        """Return the rows of codes `(codes,)`, -1 for those that have none; any thread may ask."""
        rows, table = np.empty(len(codes), np.int64), self._table
        find_rows(table.places, table.codes, codes, rows)
        return rows

    def add(self, codes: Codes) -> None:
        """Give the next rows these codes; one thread at a time."""
        first, count = self._count, self._count + len(codes)
        table = self._table
        if count > len(table.codes):
            larger = grown(table.codes, count)
            table = _Table(np.full(1 << (2 * len(larger) - 1).bit_length(), -1, np.int32), larger)
            put_rows(table.places, table.codes, 0, first)
        table.codes[first:count] = codes
        put_rows(table.places, table.codes, first, count)
        self._table, self._count = table, count


class Texts:
    """A text for each row, one behind the other; what is replaced stays until half of all is waste, where it is."""

    def __init__(self) -> None:
        self._used = self._wasted = 0
        self.buffer = np.empty(32 * _FIRST_ROWS, np.uint8)
        self.places = np.zeros(_FIRST_ROWS, np.int64)
        """Where each row's begins in `buffer`, shifted by LENGTH_BITS, plus its length."""

    def make_rows(self, rows: int) -> None:
        """Have at least so many rows; the texts of new ones are empty."""
        before = len(self.places)
        if rows > before:
            self.places = grown(self.places, rows)
            self.places[before:] = 0

    def put(self, row: int, text: bytes) -> None:
        """Give a row a text of at most MOST_BYTES."""
        place = int(self.places[row])
        if text_at(self.buffer, place) == text:
            return
        if self._used + len(text) > len(self.buffer):
            self._make_room(len(text))
        start = self._used
        self.buffer[start : start + len(text)] = np.frombuffer(text, np.uint8)
        self._used += len(text)
        self._wasted += place & MOST_BYTES
        self.places[row] = start << LENGTH_BITS | len(text)

    def _make_room(self, more: int) -> None:
        if 2 * self._wasted < self._used:
            self.buffer = grown(self.buffer, self._used + more)
            return
        buffer, places = np.empty(len(self.buffer) + more, np.uint8), self.places.copy()
        self._used = pack_texts(self.buffer, places, buffer)
        self.buffer, self.places, self._wasted = buffer, places, 0


def spans_of(places: Integers) -> Integers:
    """Return where the texts of some of `Texts.places` start and end in its buffer `(texts, 2)`."""
    starts = places >> LENGTH_BITS
    return np.stack((starts, starts + (places & MOST_BYTES)), axis=-1)


def text_at(buffer: Bytes, place: int) -> bytes:
    """Return the text that `Texts.places` says."""
    start = place >> LENGTH_BITS
    return buffer[start : start + (place & MOST_BYTES)].tobytes()


@compiled
def find_rows(places: npt.NDArray[np.int32], row_codes: Codes, codes: Codes, rows: Integers) -> None:
    """Fill `rows` with those of the codes, -1 for none."""
    mask = np.int64(len(places) - 1)
    for wanted in range(len(codes)):
        place = np.int64(np.uint32(codes[wanted] * _MIX)) & mask
        rows[wanted] = -1
        while places[place] >= 0:
            row = places[place]
            if row_codes[row] == codes[wanted]:
                rows[wanted] = row
                break
            place = (place + 1) & mask


@compiled
def put_rows(places: npt.NDArray[np.int32], row_codes: Codes, first: int, end: int) -> None:
    """Enter rows `first` to before `end`, except those whose code is there already."""
    mask = np.int64(len(places) - 1)
    for row in range(first, end):
        place = np.int64(np.uint32(row_codes[row] * _MIX)) & mask
        while places[place] >= 0 and row_codes[places[place]] != row_codes[row]:
            place = (place + 1) & mask
        if places[place] < 0:
            places[place] = row


@compiled
def pack_texts(buffer: Bytes, places: Integers, packed: Bytes) -> int:
    """Copy all rows' texts to `packed` without gaps, and correct their places; returns how many bytes they are."""
    used = 0
    for row in range(len(places)):
        start, length = places[row] >> LENGTH_BITS, places[row] & MOST_BYTES
        for at in range(length):
            packed[used + at] = buffer[start + at]
        places[row] = used << LENGTH_BITS | length
        used += length
    return used
