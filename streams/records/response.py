"""One partition's part of a fetch response, cut into Fetches where aiokafka makes an object a record.

`tests/streams/records/test_response.py` fails when a new aiokafka no longer makes them where this replaces them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from streams.fetch import Fetch
from streams.records.compression import MOST_UNPACKED_BYTES
from streams.records.reader import StoredBatch, UnreadableBatchError, committed, read_batches, stored_batches


class RawRecords:
    """The bytes of one partition in a fetch response, as aiokafka's MemoryRecords."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def has_next(self) -> bool:
        """Whether there is a whole batch."""
        return next(stored_batches(memoryview(self.data)), None) is not None

    def size_in_bytes(self) -> int:
        return len(self.data)


_Unpacked: TypeAlias = tuple[StoredBatch, bytes | memoryview]


class FetchedPieces:
    """Makes Fetches of one partition's bytes, under the interface of aiokafka's PartitionRecords."""

    def __init__(  # noqa: PLR0913, PLR0917 - aiokafka's arguments
        self,
        most: int,
        tp: Any,  # noqa: ANN401 - aiokafka has no types
        records: RawRecords,
        aborted_transactions: Sequence[tuple[int, int]] | None,
        fetch_offset: int,
        check_crcs: bool,
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._most = most
        self._tp = tp
        self._check_crcs = check_crcs
        self._batches = committed(stored_batches(memoryview(records.data)), aborted_transactions or ())
        self._pieces = self._read()

    def __iter__(self) -> Iterator[Fetch]:
        return self._pieces

    def _read(self) -> Iterator[Fetch]:
        """Yield what was committed, in pieces; as aiokafka does, move on behind what was not.

        What goes beyond MOST_UNPACKED_BYTES is left to the next fetch: one response can hold hundreds of batches that
        are just as large when they are unpacked, and aiokafka takes all of it at once.
        """
        waiting, records, left, end = list[_Unpacked](), 0, MOST_UNPACKED_BYTES, self.next_fetch_offset
        for batch, counts in self._batches:
            if self._check_crcs:
                batch.check()
            if counts:
                try:
                    section = batch.section()
                except UnreadableBatchError as failure:
                    yield from self._fetches(waiting)
                    yield from self._unreadable(batch, failure)
                    waiting, records = [], 0
                else:
                    if len(section) > left and left < MOST_UNPACKED_BYTES:
                        break
                    waiting.append((batch, section))
                    records += batch.records
                    left -= len(section)
            end = batch.last_offset + 1
            if records >= self._most:
                yield from self._fetches(waiting)
                waiting, records = [], 0
        yield from self._fetches(waiting)
        self.next_fetch_offset = end

    def _fetches(self, unpacked: Sequence[_Unpacked]) -> Iterator[Fetch]:
        if not unpacked:
            return
        try:
            records = read_batches(*zip(*unpacked, strict=True))
        except UnreadableBatchError as failure:
            for each in unpacked if len(unpacked) > 1 else ():
                yield from self._fetches([each])
            if len(unpacked) == 1:
                yield from self._unreadable(unpacked[0][0], failure)
            return
        fetch = Fetch.of(self._tp.topic, self._tp.partition, records).since(self.next_fetch_offset)
        for piece in () if fetch is None else fetch.pieces(self._most):
            self.next_fetch_offset = piece.next_offset
            yield piece

    def _unreadable(self, batch: StoredBatch, failure: UnreadableBatchError) -> Iterator[Fetch]:
        self.next_fetch_offset = batch.last_offset + 1
        yield Fetch.unreadable(self._tp.topic, self._tp.partition, batch, str(failure))


def read_columns(source_topic: str, most: int) -> None:
    """Make aiokafka's fetcher hand out Fetches of at most so many records of the source topic.

    Replaces: an object a record, and of Faust an event a record. Why: a record costs aiokafka 1.5 us, an event costs
    Faust 50 to 70 us (a future, flow control, `wait_first`) whatever it holds. The fetcher makes both by the names of
    its module, and there is one consumer in a process.
    """

    def partition_records(  # noqa: PLR0913, PLR0917 - aiokafka's arguments
        tp: Any,  # noqa: ANN401 - aiokafka has no types
        records: RawRecords,
        aborted: Any,  # noqa: ANN401
        fetch_offset: int,
        key_deserializer: Any,  # noqa: ANN401
        value_deserializer: Any,  # noqa: ANN401
        check_crcs: bool,
        isolation_level: int,
    ) -> Any:  # noqa: ANN401
        if tp.topic == source_topic:
            return FetchedPieces(most, tp, records, aborted, fetch_offset, check_crcs)
        ordinary = MemoryRecords(records.data)
        deserializers = (key_deserializer, value_deserializer)
        return PartitionRecords(tp, ordinary, aborted, fetch_offset, *deserializers, check_crcs, isolation_level)

    fetcher.MemoryRecords, fetcher.PartitionRecords = RawRecords, partition_records
