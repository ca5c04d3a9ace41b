"""Reads back what the pipeline wrote, with a stock Kafka consumer and a plain query."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from cartcast.demo.delays import Position
from service.errors import RefusedError

BATCH_MESSAGES = 5000
POLL_SECONDS = 0.1
ANSWER_SECONDS = 60.0
"""How long a broker may take to answer: it shares the machine with all that the demo starts."""


class EventId(msgspec.Struct):
    """The one field that events, scores and dead letters share."""

    event_id: str


_decode_event_id = msgspec.json.Decoder(EventId).decode


def event_id_of(message: Message) -> str | None:
    """Return the event id in a record's value, or None where it holds none."""
    try:
        return _decode_event_id(message.value() or b"").event_id
    except msgspec.MsgspecError:
        return None


def position(message: Message) -> Position:
    """Return where a record stands in its own topic."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None and offset is not None  # noqa: PT018, S101 - of every record that was consumed
    return partition, offset


def source_position(message: Message) -> Position:
    """Return where the event behind a score stood, as the headers say."""
    headers = dict(message.headers() or [])
    return int(headers["partition"] or -1), int(headers["offset"] or -1)


def stock_consumer(client_config: Mapping[str, Any], topics: list[str], group: str) -> Consumer:
    """Return a consumer at the beginning of all partitions of `topics`; it neither joins a group nor commits."""
    consumer = Consumer(
        {
            **client_config,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,  # the end of a partition is told when this is over
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    consumer.assign(
        [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in topics
            for partition in consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
        ]
    )
    return consumer


def read_to_end(client_config: Mapping[str, Any], topic: str) -> Iterator[Message]:
    """Yield every record that `topic` holds now. Raises RefusedError."""
    consumer = stock_consumer(client_config, [topic], group=f"read-{topic}")
    try:
        unfinished = {assigned.partition for assigned in consumer.assignment()}
        while unfinished:
            for message in consumer.consume(BATCH_MESSAGES, timeout=POLL_SECONDS):
                if (error := message.error()) is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition())
                else:
                    raise RefusedError(f"topic {topic} cannot be read back: {error.str()}")
    finally:
        consumer.close()


class TopicEnd:
    """How far a topic has grown; asks the brokers anew each time."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        listed = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
        self._partitions = [TopicPartition(topic, partition) for partition in listed]
        self._consumer = consumer

    def records(self) -> int:
        """Return how many records the topic has received, over all partitions; raises RefusedError."""
        ask = partial(self._consumer.get_watermark_offsets, timeout=ANSWER_SECONDS)
        try:
            return sum(ask(each)[1] for each in self._partitions)
        except KafkaException as failure:
            topic, reason = self._partitions[0].topic, failure.args[0].str()
            raise RefusedError(f"Kafka does not tell how far {topic} is: {reason}") from None
