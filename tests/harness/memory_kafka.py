"""A Kafka in memory for one topic, as far as the sink uses it: records, a group's commits, and consumers that crash.

`trouble` is called with the name of each step ("read", "commit", "committed", "insert", "inserted", "dead letters",
"dead letters sent") and may raise Crash: then that process is gone, without a last word.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from sinks.blocks import Headers

FETCH_RECORDS = 25
"""Few, so that there are always records left to read when something happens."""

Trouble = Callable[[str], None]


class Crash(BaseException):
    """kill -9."""


def no_trouble(_step: str) -> None:
    pass


@dataclass(frozen=True)
class MemoryRecord:
    """What confluent_kafka.Message is to the sink."""

    partition_number: int
    offset_number: int
    value_bytes: bytes | None
    headers_list: Headers | None
    key_bytes: bytes | None = b"u"

    def partition(self) -> int:
        return self.partition_number

    def offset(self) -> int:
        return self.offset_number

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def headers(self) -> Headers | None:
        return self.headers_list

    def error(self) -> None:
        return None


def coordinates(topic: str, partition: int, offset: int) -> Headers:
    return [("topic", topic.encode()), ("partition", b"%d" % partition), ("offset", b"%d" % offset)]


@dataclass
class MemoryTopic:
    """Records by partition, and what the sinks' group committed."""

    partitions: int
    records: dict[int, list[MemoryRecord]] = field(default_factory=dict)
    commits: dict[int, tuple[int, str]] = field(default_factory=dict)
    generation: int = 0

    def append(
        self, partition: int, value: bytes | None, headers: Headers | None, key: bytes | None = b"u", *, gap: int = 0
    ) -> None:
        """Add a record, `gap` offsets after its predecessor's (as control records leave)."""
        log = self.records.setdefault(partition, [])
        offset = (log[-1].offset_number + 1 if log else 0) + gap
        log.append(MemoryRecord(partition, offset, value, headers, key))

    def delete_below(self, partition: int, offset: int) -> None:
        """Do what retention does."""
        self.records[partition] = [record for record in self.records[partition] if record.offset_number >= offset]

    def read_through(self, partition: int) -> bool:
        """Whether everything is committed."""
        log = self.records.get(partition) or []
        return not log or self.commits.get(partition, (0, ""))[0] == log[-1].offset_number + 1


class MemoryConsumer:
    """Owns all partitions from its first `consume` on, until a younger consumer's first."""

    def __init__(self, topic: MemoryTopic, trouble: Trouble = no_trouble) -> None:
        self._topic = topic
        self._trouble = trouble
        self._generation = 0
        self._joined = False
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._gone = False

    def subscribe(self, _topics, on_assign, on_revoke, on_lost) -> None:
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost

    def consume(self, num_messages: int, _timeout: float) -> list[MemoryRecord]:
        """Return records; those read before a rebalance may come together with those read after it."""
        self._step("read")
        stale: list[MemoryRecord] = []
        if self._generation != self._topic.generation or not self._joined:
            if self._joined:
                stale = self._fetch(num_messages)
                self._on_lost(self, self._everything())
            self._join()
        return stale + self._fetch(num_messages)

    def _join(self) -> None:
        self._topic.generation += 1
        self._generation, self._joined = self._topic.generation, True
        self._positions, self._paused = {}, set()
        self._on_assign(self, self._everything())

    def _fetch(self, num_messages: int) -> list[MemoryRecord]:
        fetched: list[MemoryRecord] = []
        for partition, position in self._positions.items():
            if partition not in self._paused:
                log = self._topic.records.get(partition, [])
                ahead = [record for record in log if record.offset_number >= position]
                fetched += ahead[: min(num_messages, FETCH_RECORDS)]
        for record in fetched:
            self._positions[record.partition_number] = record.offset_number + 1
        return fetched

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        self._step("commit")
        if self._generation != self._topic.generation:
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        for each in offsets:
            self._topic.commits[each.partition] = (each.offset, each.metadata)
        self._step("committed")
        return offsets

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        return [
            TopicPartition(each.topic, each.partition, *self._topic.commits.get(each.partition, (-1001, "")))
            for each in partitions
        ]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:  # noqa: ARG002
        log = self._topic.records.get(partition.partition) or []
        return (log[0].offset_number, log[-1].offset_number + 1) if log else (0, 0)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._positions = {each.partition: max(each.offset, 0) for each in partitions}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("scores", partition) for partition in self._positions]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {each.partition for each in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {each.partition for each in partitions}

    def close(self) -> None:
        if not self._gone and self._positions:
            self._on_revoke(self, self._everything())

    def _everything(self) -> list[TopicPartition]:
        return [TopicPartition("scores", partition) for partition in range(self._topic.partitions)]

    def _step(self, step: str) -> None:
        try:
            self._trouble(step)
        except Crash:
            self._gone = True
            raise
