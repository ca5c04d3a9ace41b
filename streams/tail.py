"""The last records of a topic and those that follow, for somebody who looks in: in no group, committing nothing."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from service.errors import RefusedError
from service.kafka import in_words, metadata, open_admin, silent, where
from streams.changelog import bounds

_MOST_MESSAGES: Final = 1000
_WAIT_SECONDS: Final = 0.1


class TopicTail:
    """Reads all partitions of a topic from near their ends; to be closed."""

    def __init__(self, client_config: Mapping[str, Any], topic: str, count: int) -> None:
        """Begin `count` records before the end of each partition.

        Raises UnavailableError if Kafka does not answer, RefusedError if it refuses or has no such topic.
        """
        self._topic, self._count = topic, count
        listed = metadata(open_admin(client_config), client_config).topics
        if topic not in listed:
            raise RefusedError(f"topic {topic} does not exist at {where(client_config)}: run `cartcast topics create`")
        self._unread = set(listed[topic].partitions)
        self._consumer = Consumer(
            {
                **silent(client_config),
                "group.id": "cartcast-tail",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign([self._start(partition) for partition in self._unread])

    def close(self) -> None:
        self._consumer.close()

    def last(self) -> list[Message]:
        """Return the topic's last records, at most `count`, by Kafka's time."""
        found = deque[Message]()
        while self._unread:
            found.extend(self.arrived())
        latest = sorted(found, key=lambda message: message.timestamp()[1])
        return latest[max(len(latest) - self._count, 0) :]

    def arrived(self) -> Iterator[Message]:
        """Yield what has arrived since the last call, after a moment's wait."""
        for message in self._consumer.consume(_MOST_MESSAGES, _WAIT_SECONDS):
            if (error := message.error()) is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard(cast("int", message.partition()))
            elif not error.retriable():
                raise RefusedError(f"topic {self._topic} cannot be read: {in_words(error)}")

    def _start(self, partition: int) -> TopicPartition:
        low, high = bounds(self._consumer, self._topic, partition)
        return TopicPartition(self._topic, partition, max(low, high - self._count))
