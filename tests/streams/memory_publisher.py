"""A publisher without Kafka, under the same interface: it keeps what is published and confirms it when told."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.fenced import Elsewhere
from streams.partition_states import PartitionStates
from streams.pipeline import Pipeline
from streams.publisher import Delivery
from streams.records.reader import read_batches, stored_batches
from streams.records.writer import OutputRecord, OutputRecords, RecordBatch
from tests.streams.fetches import PARTITION, TOPICS


@dataclass(frozen=True, slots=True)
class Produced:
    topic: str
    partition: int
    record: OutputRecord

    @property
    def headers(self) -> dict[str, bytes]:
        return dict(self.record.headers or [])


class MemoryPublisher:
    """Confirms at once, or not before `confirm` or `fail` if it `holds`."""

    def __init__(self, *, holds: bool = False) -> None:
        self.produced: list[Produced] = []
        self.holds = holds
        self._unconfirmed: list[tuple[str, Delivery]] = []
        self._changed = asyncio.Event()

    @property
    def queue_messages(self) -> int:
        return len(self._unconfirmed)

    @property
    def queue_bytes(self) -> int:
        return 0

    @property
    def waits_for_kafka(self) -> bool:
        return False

    async def close(self) -> None: ...

    def publish(self, topic: str, partition: int, *batches: RecordBatch, delivery: Delivery) -> None:
        for batch in batches:
            self.produced += [Produced(topic, partition, record) for record in records_of(batch)]
            if self.holds:
                self._unconfirmed.append((topic, delivery))
            else:
                delivery.confirm()
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once something has been produced that makes the condition true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def confirm(self, topic: str | None = None) -> None:
        """Confirm what waits, on one topic or on all, and let everybody notice."""
        await self._report(topic, Delivery.confirm)

    async def fail(self, topic: str | None = None) -> None:
        """Report that what waits will never be delivered."""
        await self._report(topic, Delivery.abandon)

    async def _report(self, topic: str | None, report: Callable[[Delivery], None]) -> None:
        reported = [(name, delivery) for name, delivery in self._unconfirmed if topic in {None, name}]
        self._unconfirmed = [pair for pair in self._unconfirmed if pair not in reported]
        for _, delivery in reported:
            report(delivery)
        await let_others_run()

    def on(self, topic: str) -> list[Produced]:
        return [produced for produced in self.produced if produced.topic == topic]


class MemoryChangelog:
    """Writes a partition's states through a publisher."""

    def __init__(self, publisher: MemoryPublisher) -> None:
        self._publisher = publisher
        self.failure: Exception | None = None

    async def ready(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def write(self, batches: list[RecordBatch], elsewhere: Sequence[Elsewhere] = ()) -> None:
        every = [Elsewhere(TOPICS.changelog, PARTITION, batch) for batch in batches] + [*elsewhere]
        sent = (stored for each in every for stored in stored_batches(memoryview(each.batch._build())))
        assert all(batch.is_transactional for batch in sent)
        delivery = Delivery.of(len(every))
        for each in every:
            self._publisher.publish(each.topic, each.partition, each.batch, delivery=delivery)
        await delivery

    async def close(self) -> None: ...


def states_of(pipeline: Pipeline, partition: int, restored: "asyncio.Future[None]") -> PartitionStates:
    """The states of a partition without shoppers, whose changelog the pipeline's publisher keeps."""
    return PartitionStates(partition, restored, pipeline.scoring.codec, MemoryChangelog(pipeline.publisher))


def records_of(batch: RecordBatch) -> list[OutputRecord]:
    """The records of a batch, read as a consumer reads them."""
    fetched = read_batches(list(stored_batches(memoryview(batch._build()))))
    return list(OutputRecords(fetched.keys, fetched.values, fetched.headers))


async def let_others_run() -> None:
    """Give every task that can go on the time to come to its next wait; nothing outside the loop is waited for."""
    for _ in range(50):
        await asyncio.sleep(0)
