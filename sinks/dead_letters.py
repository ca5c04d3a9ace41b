"""Records that are no rows go to the dead-letter topic as they came, before the position moves past them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from service.errors import RefusedError, UnavailableError
from service.kafka import (
    Headers,
    cut_dead_letter,
    dead_letter_headers,
    logged,
    reason,
    refuses_the_record,
    source_headers,
)
from sinks.blocks import Rejected

TIMEOUT_SECONDS: Final = 30.0
_MOST_BYTES: Final = 100 << 20
"""The brokers and the topic say how large a record may be, not this client."""


class DeadLetters(Protocol):
    """Where rejected records go."""

    def send(self, rejected: Sequence[Rejected], partition: int) -> None:
        """Deliver records of partition `partition` of their topic, or raise UnavailableError: then send all again."""


@dataclass(frozen=True, slots=True)
class _Letter:
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def cut(self) -> "_Letter":
        key, value, headers = cut_dead_letter(self.key, self.value, self.headers)
        return replace(self, key=key, value=value, headers=headers)


class KafkaDeadLetters:
    """The dead-letter topic; its producer is made when first needed, and anew after a failure."""

    def __init__(self, client_config: Mapping[str, Any], *, source_topic: str, topic: str) -> None:
        self._config = {
            **logged(client_config),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": _MOST_BYTES,
        }
        self._source_topic = source_topic
        self._topic = topic
        self._producer: Producer | None = None
        self._partitions = 0

    def send(self, rejected: Sequence[Rejected], partition: int) -> None:
        """Deliver each as it came, or cut, should the topic refuse it; raises RefusedError if it refuses that too."""
        if not rejected:
            return
        producer = self._opened()
        for letter in self._refused(producer, [self._letter(each, partition) for each in rejected]):
            if self._refused(producer, [letter]) and self._refused(producer, [letter.cut()]):
                raise RefusedError(f"topic {self._topic} takes no dead letters, not even short ones: see its settings")

    def _letter(self, rejected: Rejected, partition: int) -> _Letter:
        record = rejected.record
        source = source_headers(self._source_topic, partition, record.offset())
        headers = dead_letter_headers(source, reason=rejected.reason, error=rejected.error)
        return _Letter(partition % self._partitions, record.key(), record.value(), headers)

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

    def _refused(self, producer: Producer, letters: Sequence[_Letter]) -> list[_Letter]:
        """Deliver letters, and return those that the topic refuses for what they are, or for what was sent along."""
        failures: dict[int, KafkaError] = {}
        give_up = time.monotonic() + TIMEOUT_SECONDS
        for place, letter in enumerate(letters):
            self._produce(producer, letter, partial(_note, failures, place), give_up)
        waiting = producer.flush(TIMEOUT_SECONDS)
        others = [error for error in failures.values() if not refuses_the_record(error)]
        if waiting or others:
            self._fail(others[0].str() if others else "timed out")
        return [letters[place] for place in sorted(failures)]

    def _produce(self, producer: Producer, letter: _Letter, delivered: Any, give_up: float) -> None:  # noqa: ANN401
        while True:
            try:
                producer.produce(
                    self._topic, letter.value, letter.key, letter.partition, delivered, headers=letter.headers
                )
                return
            except BufferError:
                if time.monotonic() > give_up:
                    self._fail("timed out")
                producer.poll(0.1)
            except KafkaException as failure:
                if not refuses_the_record(failure.args[0]):
                    self._fail(reason(failure))
                delivered(failure.args[0], None)
                return

    def _fail(self, why: str) -> None:
        self._producer = None  # a new one does not repeat what this one may still have queued
        raise UnavailableError(f"Kafka did not take dead letters for {self._topic} ({why})")


def _note(failures: dict[int, KafkaError], place: int, error: KafkaError | None, _record: object) -> None:
    if error is not None:
        failures[place] = error
