"""One fetch of one partition, the unit that flows through the stream application, and the order of fetches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from streams.observe.trace_context import TRACEPARENT, TraceHeaders, trace_headers
from streams.records.reader import FetchedRecords, StoredBatch, read_headers

_MOST_HEADERS: Final = 64
"""A record with more is part of no trace: a megabyte of headers takes the consumer half a second to read."""
_SHORT_EVENT_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Fetch:
    """Consecutive records of one partition, as columns; at least one record."""

    topic: str
    partition: int
    keys: ByteStrings
    values: ByteStrings
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    """Kafka's timestamps of the records, 0 where a record has none."""
    traces: Mapping[int, TraceHeaders] = field(default_factory=dict)
    """By offset, of those records that are part of a trace."""
    error: str = ""
    """Why the records of a batch cannot be had; they are one record here then, at the last offset of the batch, whose
    value are the records' bytes as they were sent."""

    @classmethod
    def of(cls, topic: str, partition: int, records: FetchedRecords) -> "Fetch":
        """Make a fetch of the records of a partition."""
        traces = _traces(records) if (records.headers.spans[:, 0] >= 0).any() else {}
        return cls(topic, partition, records.keys, records.values, records.offsets, records.timestamps_ms, traces)

    @classmethod
    def unreadable(cls, topic: str, partition: int, batch: StoredBatch, error: str) -> "Fetch":
        """Make that of a batch whose records cannot be had."""
        key, value = ByteStrings.none(1), ByteStrings.of([batch.packed.tobytes()])
        timestamps_ms = np.array([max(batch.highest_timestamp_ms, 0)])
        return cls(topic, partition, key, value, np.array([batch.last_offset]), timestamps_ms, error=error)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def last_offset(self) -> int:
        return int(self.offsets[-1])

    @property
    def next_offset(self) -> int:
        """What to commit once this fetch is dealt with."""
        return self.last_offset + 1

    @property
    def value_bytes(self) -> int:
        """About how many bytes its records' values have, and no fewer than so many short events'.

        A record that is no event takes longer than one that is, however short it is.
        """
        return max(int(self.values.spans[:, 1].max() - self.values.spans[0, 0]), _SHORT_EVENT_BYTES * len(self))

    def since(self, offset: int) -> "Fetch | None":
        """Return the part at or after `offset`, None if there is none."""
        start = int(np.searchsorted(self.offsets, offset))
        if start == 0:
            return self
        if start == len(self.offsets):
            return None
        return self.part(start, len(self))

    def pieces(self, most: int) -> "Iterator[Fetch]":
        """Return it in pieces of at most so many records."""
        if len(self) <= most:
            yield self
        else:
            for start in range(0, len(self), most):
                yield self.part(start, start + most)

    def part(self, start: int, end: int) -> "Fetch":
        """Return the records at the places from `start` to before `end`."""
        return Fetch(
            self.topic,
            self.partition,
            self.keys[start:end],
            self.values[start:end],
            self.offsets[start:end],
            self.timestamps_ms[start:end],
            self.traces,
        )


def _traces(records: FetchedRecords) -> dict[int, TraceHeaders]:
    parent = TRACEPARENT.encode()
    if parent not in records.headers.buffer.tobytes():
        return {}
    found = (
        (offset, trace_headers(read_headers(headers, most=_MOST_HEADERS)))
        for offset, headers in zip(records.offsets.tolist(), records.headers, strict=True)
        if headers is not None and parent in headers
    )
    return {offset: headers for offset, headers in found if headers}


class FetchOrder:
    """Remembers where each source partition's next fetch begins, by (topic, partition).

    Across a rebalance aiokafka can hand out records from behind others that were fetched before and dropped. Their
    successors would be taken for the next in order, and they, when they come at last, for repeats.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}
        self._doubted: dict[tuple[str, int], int] = {}

    def sought(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Begin anew at these offsets."""
        self._next = dict(positions)
        self._doubted.clear()

    def expected(self, partition: tuple[str, int]) -> int | None:
        """Return where the next fetch should begin, None if nobody knows."""
        return self._next.get(partition)

    def take(self, partition: tuple[str, int], first: int, end: int) -> int | None:
        """Take a fetch of the offsets from `first` to before `end`: None, or where to fetch again in its place.

        A fetch that begins behind its place a second time is taken: then there is nothing in between, but a
        transaction's marker, or what retention has deleted.
        """
        place = self._next.get(partition, first)
        if first > place and self._doubted.get(partition) != first:
            self._doubted[partition] = first
            return place
        self._next[partition] = end
        self._doubted.pop(partition, None)
        return None
