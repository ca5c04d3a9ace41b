"""The topics that programs are measured on: made, filled, counted, deleted."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.events import Record
from service.errors import LocalStackError

PARTITIONS: Final = 4
TIMEOUT_SECONDS: Final = 30.0
LOOK_TIMEOUT_SECONDS: Final = 5.0
QUEUE_MESSAGES: Final = 200_000
PRODUCER: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # as Java clients do
    "queue.buffering.max.messages": QUEUE_MESSAGES,
    "delivery.report.only.error": True,
}


@dataclass
class Broker:
    """A client of the broker, for what surrounds a measurement."""

    bootstrap_servers: str
    _admin: AdminClient = field(init=False)
    _consumer: Consumer = field(init=False)

    def __post_init__(self) -> None:
        client: dict[str, str | int | float | bool] = {"bootstrap.servers": self.bootstrap_servers, "log_level": 0}
        self._admin = AdminClient(client)
        self._consumer = Consumer({**client, "group.id": "bench"})

    def create(self, *topics: str, config: Mapping[str, str] | None = None) -> None:
        """Make topics of four partitions, and return when these have leaders. Raises LocalStackError."""
        new = [NewTopic(topic, PARTITIONS, 1, config=dict(config or {})) for topic in topics]
        self._finish(self._admin.create_topics(new))
        self.wait_for_leaders(*topics)

    def wait_for_leaders(self, *topics: str) -> None:
        """Return when all partitions of new topics can be asked. Raises LocalStackError."""
        give_up = time.monotonic() + TIMEOUT_SECONDS
        for topic in topics:
            while not self._has_leaders(topic):
                if time.monotonic() > give_up:
                    raise LocalStackError(f"topic {topic} has no leaders after {TIMEOUT_SECONDS:.0f} s")
                time.sleep(0.05)

    def delete(self, word: str) -> None:
        """Delete the topics that have `word` in their names, so that the disk holds one run at a time."""
        listed = self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        names = [name for name in listed if word in name]
        if names:
            self._finish(self._admin.delete_topics(names))

    def count(self, topic: str) -> int:
        """Return how many records a topic without deletions holds."""
        return sum(self.ends(topic))

    def ends(self, topic: str) -> list[int]:
        """Return the offset at which each partition ends. Raises LocalStackError."""
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        try:
            return [self._consumer.get_watermark_offsets(each, timeout=LOOK_TIMEOUT_SECONDS)[1] for each in partitions]
        except KafkaException as failure:
            raise LocalStackError(f"Kafka does not say how long topic {topic} is: {failure.args[0].str()}") from None

    def fill(self, topic: str, records: Iterable[Record]) -> int:
        """Write records, keyed; return their bytes, keys and values."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "log_level": 0, **PRODUCER})
        size = 0
        for number, (key, value) in enumerate(records):
            while True:
                try:
                    producer.produce(topic, value, key)
                except BufferError:
                    producer.poll(0.05)
                else:
                    break
            size += len(key) + len(value)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush()
        return size

    def _has_leaders(self, topic: str) -> bool:
        """Ask as somebody new: a client that heard of the topic too early goes on not to know it."""
        try:
            Broker(self.bootstrap_servers).ends(topic)
        except LocalStackError:
            return False
        return True

    def _finish(self, futures: Mapping[str, Any]) -> None:
        for topic, future in futures.items():
            try:
                future.result(TIMEOUT_SECONDS)
            except KafkaException as failure:
                raise LocalStackError(f"topic {topic}: {failure.args[0].str()}") from None
