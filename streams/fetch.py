"""One fetch of one partition, the unit that flows through the stream application, and the order of fetches."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.observe.trace_context import TraceHeaders, trace_headers


@dataclass(frozen=True, slots=True)
class Fetch:
    """Consecutive records of one partition, as columns; at least one record."""

    topic: str
    partition: int
    keys: list[bytes | None] = field(repr=False)  # what a log may hold ends here
    values: list[bytes | None] = field(repr=False)
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    """Kafka's timestamps of the records, 0 where a record has none."""
    traces: Mapping[int, TraceHeaders] = field(default_factory=dict)
    """By offset, of those records that are part of a trace."""

    @classmethod
    def of(cls, records: list[Any]) -> "Fetch":
        """Make a fetch of aiokafka's records."""
        headers = [record.headers for record in records]
        return cls(
            topic=records[0].topic,
            partition=records[0].partition,
            keys=[record.key for record in records],
            values=[record.value for record in records],
            offsets=np.array([record.offset for record in records], np.int64),
            timestamps_ms=np.array([max(record.timestamp or 0, 0) for record in records], np.int64),
            traces=_traces(records) if any(headers) else {},
        )

    @property
    def last_offset(self) -> int:
        return int(self.offsets[-1])

    @property
    def next_offset(self) -> int:
        """What to commit once this fetch is dealt with."""
        return self.last_offset + 1

    def since(self, offset: int) -> "Fetch | None":
        """Return the part at or after `offset`, None if there is none."""
        start = int(np.searchsorted(self.offsets, offset))
        if start == 0:
            return self
        if start == len(self.offsets):
            return None
        return Fetch(
            self.topic,
            self.partition,
            self.keys[start:],
            self.values[start:],
            self.offsets[start:],
            self.timestamps_ms[start:],
            self.traces,
        )


def _traces(records: list[Any]) -> dict[int, TraceHeaders]:
    found = ((record.offset, trace_headers(record.headers)) for record in records if record.headers)
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
