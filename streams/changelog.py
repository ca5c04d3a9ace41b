"""Reading back what this application wrote: table states from the changelog, positions from the output topics."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.errors import RefusedError
from service.kafka import in_words, logged, reason

_MESSAGES_PER_CALL: Final = 10_000
_WAIT_SECONDS: Final = 0.05
"""librdkafka waits this long for a full call also when the end of the partition is among what it has."""
_DEADLINE_SECONDS: Final = 60.0
_COMMITTED_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 5.0
_LAST_RECORDS: Final = 1000
_FURTHER_BACK: Final = 10


class PartitionReader:
    """Reads single partitions outside any consumer group; for one thread."""

    def __init__(self, client_config: Mapping[str, Any], on_records: Callable[[], object] = lambda: None) -> None:
        """Call `on_records` whenever records have arrived."""
        self._on_records = on_records
        self._consumer = Consumer(
            {
                **logged(client_config),
                "group.id": "cartcast-restore",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,  # else each partition's end costs half a second
                "fetch.queue.backoff.ms": 10,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def restore(self, topic: str, partition: int, on_progress: Callable[[int, int], None]) -> dict[bytes, bytes]:
        """Return the latest value of every key of a changelog partition; reports records read, and offsets left."""
        states: dict[bytes, bytes] = {}
        records, (first, end) = 0, self.bounds(topic, partition)
        remaining = end - first
        for messages in self._until_end(TopicPartition(topic, partition, OFFSET_BEGINNING)):
            for message in messages:
                key, value = message.key(), message.value()
                if key is not None and value:
                    states[key] = value
                else:
                    states.pop(key, None)
            records += len(messages)
            remaining = max(end - messages[-1].offset() - 1, 0) if messages else remaining
            on_progress(records, remaining)
        return states

    def backwards(self, topic: str, partition: int) -> Iterator[Iterator[Message]]:
        """Yield a partition's records in stretches: the last 1,000, the 10,000 before them, and so on to the first.

        Within a stretch the oldest record comes first; read it to its end before the next.
        """
        low, end = self.bounds(topic, partition)
        length = _LAST_RECORDS
        while end > low:
            start = max(low, end - length)
            yield self.between(topic, partition, start, end)
            end, length = start, length * _FURTHER_BACK

    def records(self, topic: str, partition: int) -> Iterator[Message]:
        """Yield a partition's records from the first one up to the end that it has now."""
        low, end = self.bounds(topic, partition)
        if low < end:
            yield from self.between(topic, partition, low, end)

    def record_at(self, topic: str, partition: int, offset: int) -> Message | None:
        """Return the record at an offset, None if there is none (any more); raises RefusedError as `first_record`."""
        return self.first_record(topic, partition, offset, offset + 1)

    def first_record(
        self, topic: str, partition: int, start: int, end: int, *, seconds: float = _DEADLINE_SECONDS
    ) -> Message | None:
        """Return the first record with an offset from `start` to before `end`; None if there is none (any more).

        Raises RefusedError if Kafka does not hand it out within so many seconds.
        """
        first, deadline = TopicPartition(topic, partition, max(start, 0)), time.monotonic() + seconds
        if first.offset >= end:
            return None
        self._consumer.assign([first])
        try:
            while time.monotonic() < deadline:
                if (message := self._consumer.poll(_WAIT_SECONDS)) is None:
                    continue
                if message.error() is None:
                    return message if start <= (message.offset() or 0) < end else None
                if _is_end(message, first):
                    return None
        finally:
            self._consumer.unassign()
        raise RefusedError(
            f"cannot read {topic} partition {partition}, offset {start}: Kafka did not hand it out within "
            f"{seconds:g} seconds; look whether the partition has a leader (`cartcast doctor`)"
        )

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first and the next offset; raises RefusedError as `bounds` does."""
        return bounds(self._consumer, topic, partition)

    def between(self, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
        """Yield the records with offsets from `start` to before `end`."""
        for messages in self._until_end(TopicPartition(topic, partition, start)):
            for message in messages:
                if message.offset() < end:
                    yield message
                if message.offset() >= end - 1:
                    return

    def _until_end(self, start: TopicPartition) -> Iterator[list[Any]]:
        self._consumer.assign([start])
        try:
            ended = False
            while not ended:
                messages = []
                for message in self._consumer.consume(_MESSAGES_PER_CALL, _WAIT_SECONDS):
                    if message.error() is None:
                        messages.append(message)
                    elif _is_end(message, start):
                        ended = True
                if messages:
                    self._on_records()
                yield messages
        finally:
            self._consumer.unassign()


def next_record(client_config: Mapping[str, Any], topic: str, partition: int, start: int, end: int) -> int:
    """Return the offset of the first record from `start` to before `end`, `end` if there is none.

    `start` if Kafka does not say so within some seconds.
    """
    with closing(PartitionReader(client_config)) as reader:
        try:
            found = reader.first_record(topic, partition, start, end, seconds=_LOOK_SECONDS)
        except RefusedError:
            return start
        return end if found is None else int(found.offset() or 0)


def bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return a partition's first and next offset; one without a leader (new, or moving) is asked again for a minute.

    Raises RefusedError if Kafka does not tell them even then.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)
        except KafkaException as failure:
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"cannot read {topic} partition {partition}: {reason(failure)}; is the broker well?"
                ) from None
            time.sleep(_WAIT_SECONDS)
        else:
            return int(low), int(high)


def committed_offset(client_config: Mapping[str, Any], group: str, topic: str, partition: int) -> int:
    """Return the offset that a consumer group has committed, -1 if it has none or nobody says so in time."""
    consumer = Consumer({**logged(client_config), "group.id": group, "enable.auto.commit": False})
    try:
        (committed,) = consumer.committed([TopicPartition(topic, partition)], timeout=_COMMITTED_SECONDS)
        return max(int(committed.offset), -1)
    except KafkaException:
        return -1
    finally:
        consumer.close()


def _is_end(message: Message, of: TopicPartition) -> bool:
    """Return whether a message that is an error says that the partition ends; raises RefusedError if it is final."""
    error = message.error()
    if error is None or error.code() == KafkaError._PARTITION_EOF:
        return True
    if not error.retriable() and error.code() != KafkaError._TRANSPORT:
        raise RefusedError(f"cannot read {of.topic} partition {of.partition}: {in_words(error)}")
    return False
