"""Writing to the mock broker and reading from it, with stock clients."""

from collections.abc import Iterable

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streams.records.writer import OutputRecord


def create(kafka: dict[str, object], topics: Iterable[str]) -> None:
    """Make topics exist: the mock broker makes those that a producer asks about."""
    producer = Producer(kafka)
    for topic in topics:
        producer.list_topics(topic)


def write(kafka: dict[str, object], topic: str, partition: int, records: Iterable[OutputRecord]) -> None:
    producer = Producer(kafka)
    for record in records:
        producer.produce(topic, record.value, record.key, partition, headers=record.headers)
    assert producer.flush() == 0


def read(kafka: dict[str, object], topic: str, partition: int, count: int) -> list[Message]:
    """The first `count` records of a partition."""
    consumer = Consumer({**kafka, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    messages = consumer.consume(count)
    consumer.close()
    assert len(messages) == count
    return messages
