"""A publisher without Kafka, under the same interface: it keeps what is produced and confirms it when told."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError

from streams.publisher import Delivery, OutputRecord


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
        self._changed = asyncio.Condition()

    @property
    def queue_messages(self) -> int:
        return len(self._unconfirmed)

    @property
    def queue_bytes(self) -> int:
        return 0

    @property
    def waits_for_kafka(self) -> bool:
        return False

    def expect(self, records: int) -> Delivery:
        return Delivery(records, asyncio.get_running_loop())

    async def produce(self, topic: str, partition: int, records: Iterable[OutputRecord], delivery: Delivery) -> None:
        for record in records:
            self.produced.append(Produced(topic, partition, record))
            if self.holds:
                self._unconfirmed.append((topic, delivery))
            else:
                delivery.confirm(None, None)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once something has been produced that makes the condition true."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def confirm(self, topic: str | None = None) -> None:
        """Confirm what waits, on one topic or on all, and let everybody notice."""
        await self._report(None, topic)

    async def fail(self, topic: str | None = None) -> None:
        """Report that what waits will never be delivered."""
        await self._report(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), topic)

    async def _report(self, error: KafkaError | None, topic: str | None) -> None:
        reported = [(name, delivery) for name, delivery in self._unconfirmed if topic in {None, name}]
        self._unconfirmed = [pair for pair in self._unconfirmed if pair not in reported]
        for _, delivery in reported:
            delivery.confirm(error, None)
        await let_others_run()

    def on(self, topic: str) -> list[Produced]:
        return [produced for produced in self.produced if produced.topic == topic]


async def let_others_run() -> None:
    """Give every task that can go on the time to come to its next wait; nothing outside the loop is waited for."""
    for _ in range(50):
        await asyncio.sleep(0)
