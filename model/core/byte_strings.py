"""Many byte strings in one buffer: keys and values of records as compiled loops read and write them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False, repr=False)  # what a log may hold ends here
class ByteStrings(Sequence["bytes | None"]):
    """A sequence of byte strings, of which each may be None."""

    buffer: npt.NDArray[np.uint8]
    spans: npt.NDArray[np.int64]
    """Where each starts and ends in `buffer` `(strings, 2)`; -1 and -1 for None. A line feed follows each that is not
    None, so that a scanner need not look for the end."""

    @classmethod
    def of(cls, strings: Sequence[bytes | None]) -> "ByteStrings":
        """Copy byte strings into one buffer."""
        if isinstance(strings, ByteStrings):
            return strings
        ends = np.cumsum([len(string or b"") + 1 for string in strings], dtype=np.int64)
        spans = np.empty((len(strings), 2), np.int64)
        spans[1:, 0], spans[:1, 0], spans[:, 1] = ends[:-1], 0, ends - 1
        spans[[string is None for string in strings]] = -1
        joined = bytearray(b"\n").join([*(string or b"" for string in strings), b""])  # as writable as any array
        return cls(np.frombuffer(joined, np.uint8), spans)

    @classmethod
    def none(cls, strings: int) -> "ByteStrings":
        """Return that many times None."""
        return cls(np.empty(0, np.uint8), np.full((strings, 2), -1, np.int64))

    @classmethod
    def of_bounds(cls, buffer: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> "ByteStrings":
        """Return strings that lie in `buffer` one behind the other, each up to its end, with nothing in between."""
        return cls(buffer, np.stack([np.concatenate([ends[:1] * 0, ends[:-1]]), ends], axis=1))

    @classmethod
    def concatenated(cls, parts: Sequence["ByteStrings"]) -> "ByteStrings":
        """Join several sequences."""
        starts = np.cumsum([0, *(len(part.buffer) for part in parts)])
        spans = [
            np.where(part.spans[:, :1] < 0, -1, part.spans + start) for part, start in zip(parts, starts, strict=False)
        ]
        return cls(np.concatenate([part.buffer for part in parts]), np.concatenate(spans))

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...
    @overload
    def __getitem__(self, place: slice) -> "ByteStrings": ...
    def __getitem__(self, place: int | slice) -> "bytes | ByteStrings | None":
        if isinstance(place, slice):
            return ByteStrings(self.buffer, self.spans[place])
        start, end = self.spans[place].tolist()
        return None if start < 0 else self.buffer[start:end].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        written = self.buffer.tobytes()
        return (None if start < 0 else written[start:end] for start, end in self.spans.tolist())

    def take(self, rows: npt.NDArray[np.int64]) -> "ByteStrings":
        """Return some of the strings."""
        return ByteStrings(self.buffer, self.spans[rows])
