"""Records that are no rows go to the dead-letter topic as they came, before the position moves past them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from service.errors import RefusedError, UnavailableError
from service.kafka import dead_letter_headers, logged, reason, source_headers
from sinks.blocks import Rejected

REASON: Final = "row"
TIMEOUT_SECONDS: Final = 30.0


class DeadLetters(Protocol):
    """Where rejected records go."""

    def send(self, rejected: Sequence[Rejected], partition: int) -> None:
        """Deliver records of scores partition `partition`, or raise UnavailableError: then send all again."""


class KafkaDeadLetters:
    """The dead-letter topic; its producer is made when first needed."""

    def __init__(self, client_config: Mapping[str, Any], *, scores_topic: str, topic: str) -> None:
        self._config = {**logged(client_config), "acks": "all", "enable.idempotence": True, "linger.ms": 5}
        self._scores_topic = scores_topic
        self._topic = topic
        self._producer: Producer | None = None
        self._partitions = 0
        self._failure: KafkaError | None = None

    def send(self, rejected: Sequence[Rejected], partition: int) -> None:
        if not rejected:
            return
        producer = self._opened()
        self._failure = None
        for letter in rejected:
            self._produce(producer, letter, partition)
        if producer.flush(TIMEOUT_SECONDS) > 0 or self._failure is not None:
            self._producer = None  # a new one does not repeat what this one may still have queued
            why = self._failure.str() if self._failure else "timed out"
            raise UnavailableError(f"Kafka did not take dead letters for {self._topic} ({why})")

    def _opened(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._config)
            try:
                # All topics, because asking for one by name may create it.
                listed = producer.list_topics(timeout=TIMEOUT_SECONDS).topics
            except KafkaException as failure:
                raise UnavailableError(f"Kafka does not answer ({reason(failure)})") from None
            if self._topic not in listed:
                raise RefusedError(f"topic {self._topic} does not exist: run `cartcast topics create`")
            self._partitions = len(listed[self._topic].partitions)
            self._producer = producer
        return self._producer

    def _produce(self, producer: Producer, letter: Rejected, partition: int) -> None:
        record = letter.record
        source = source_headers(self._scores_topic, partition, record.offset())
        headers = dead_letter_headers(source, reason=REASON, error=letter.error)
        target = partition % self._partitions
        while True:
            try:
                producer.produce(self._topic, record.value(), record.key(), target, self._delivered, headers=headers)
                return
            except BufferError:
                producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, _record: object) -> None:
        if error is not None:
            self._failure = error
