"""History to the events topic: one shopper, one partition, every delivery confirmed, at a chosen pace."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from model.events import Event
from model.validate import BadRow
from service.errors import RefusedError
from service.kafka import (
    Headers,
    cut_dead_letter,
    dead_letter_headers,
    headers_of,
    refuses_the_record,
    silent,
    source_headers,
)
from service.kafka_settings import Topics

NOT_FROM_A_PARTITION: Final = -1
"""The `partition` header of a dead letter that comes from a file."""

PRODUCER_CONFIG: Final[Mapping[str, Any]] = {
    "partitioner": "murmur2_random",  # what Java clients do, so that any producer puts a shopper on one partition
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "delivery.report.only.error": True,  # a call-back for each success would cost as much as producing
    "message.timeout.ms": 60_000,
    "message.max.bytes": 100 << 20,  # the topic says how large a record may be
}
POLL_EVERY_RECORDS: Final = 1000
FLUSH_SLICE_SECONDS: Final = 0.2  # a signal is seen between two slices
_SHORTEST_WAIT_SECONDS: Final = 0.001  # librdkafka counts in milliseconds
LONGEST_WAIT_SECONDS: Final = 0.1

KEPT_BAD_ROWS: Final = 20
SIZE: Final = "size"
"""Reason of an event that the events topic does not take, which is nearly always its size."""

Schedule: TypeAlias = Callable[[Event], float]
"""Called once an event, in order: the seconds after the start at which it is due."""


class EventProducer:
    """Sends events to the events topic and damaged rows to the dead letters; used as a context manager.

    `send` and `send_dead_letter` return at once unless librdkafka's queue is full. Leaving the context without an
    error flushes. A delivery that failed for good raises RefusedError from the next `send`, or from `flush`; but an
    event that the topic refuses for what it is becomes a dead letter of reason SIZE that holds its beginning.
    """

    def __init__(self, client_config: Mapping[str, Any], topics: Topics) -> None:
        self._topics = topics
        self._producer = Producer({**PRODUCER_CONFIG, **silent(client_config), "on_delivery": self._on_failed_delivery})
        self._encode = msgspec.json.Encoder().encode
        self._failed = 0
        self._failure = ""
        self.sent = 0
        self.refused = 0
        """Events among them that became dead letters."""

    @property
    def confirmed(self) -> int:
        """Messages that the brokers have; complete after `flush`."""
        waiting = len(self._producer)  # a failed message may still be among them when its failure is known
        return max(self.sent - self._failed - waiting, 0)

    def send(self, event: Event) -> None:
        """Queue one event, keyed by its shopper."""
        self._produce(self._topics.events, self._encode(event), event.user_id.encode())

    def send_bytes(self, key: bytes, value: bytes, headers: Headers) -> None:
        """Queue a record of the events topic as it is."""
        self._produce(self._topics.events, value, key, headers)

    def send_dead_letter(self, file_name: str, row: BadRow) -> None:
        """Queue a damaged row of a file: its bytes as they are, and where they stood."""
        source = source_headers(file_name, NOT_FROM_A_PARTITION, row.line)
        headers = dead_letter_headers(source, reason=row.reason, error=row.error)
        self._produce(self._topics.dead_letters, row.raw, None, headers)

    def wait(self, seconds: float) -> None:
        """Let time pass while deliveries go on."""
        self._producer.poll(seconds)
        self._raise_failure()

    def flush(self) -> None:
        """Return when every message is confirmed, or raise RefusedError."""
        while self._producer.flush(FLUSH_SLICE_SECONDS):
            self._raise_failure()
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if failure is None:
            self.flush()
        else:
            self._producer.purge()

    def _produce(self, topic: str, value: bytes, key: bytes | None, headers: Headers | None = None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers)
            except BufferError:  # librdkafka's queue is full: the brokers are slower than we are
                self.wait(LONGEST_WAIT_SECONDS)
            except KafkaException as failure:
                error = failure.args[0]
                if topic != self._topics.events or not refuses_the_record(error):
                    raise RefusedError(f"{topic} takes no more messages: {error.str()}") from None
                self._bury(key, value, error)
                break
            else:
                break
        self.sent += 1
        if self.sent % POLL_EVERY_RECORDS == 0:
            self.wait(0)

    def _on_failed_delivery(self, error: KafkaError, message: Message) -> None:
        headers = headers_of(message)
        if message.topic() == self._topics.events and refuses_the_record(error):
            self._bury(message.key(), message.value(), error)
            return
        if message.topic() == self._topics.dead_letters and refuses_the_record(error) and "sha256" not in headers:
            key, value, short = cut_dead_letter(message.key(), message.value(), [*headers.items()])
            self._producer.produce(self._topics.dead_letters, value, key, headers=short)
            return
        self._failed += 1
        self._failure = self._failure or f"{message.topic()}: {error.str()}"

    def _bury(self, key: bytes | None, value: bytes | None, error: KafkaError) -> None:
        self.refused += 1
        source = source_headers(self._topics.events, NOT_FROM_A_PARTITION, self.refused)
        why = f"{self._topics.events} does not take the event: {error.str()}"
        key, value, headers = cut_dead_letter(key, value, dead_letter_headers(source, reason=SIZE, error=why))
        self._producer.produce(self._topics.dead_letters, value, key, headers=headers)

    def _raise_failure(self) -> None:
        if self._failed:
            raise RefusedError(
                f"{self._failed} of {self.sent} messages were not delivered ({self._failure}); "
                "check the brokers and the topics (`cartcast topics create`), then replay again"
            )


def at_once(_event: Event) -> float:
    """Make every event due at the start: as fast as the brokers take them."""
    return 0.0


def at_rate(events_per_second: float) -> Schedule:
    """Make events due at an even rate."""
    due_seconds = -1 / events_per_second

    def due(_event: Event) -> float:
        nonlocal due_seconds
        due_seconds += 1 / events_per_second
        return due_seconds

    return due


def at_speed(times: float, since_ms: int | None = None) -> Schedule:
    """Make events due as far apart as they happened, divided by `times`; one out of order is due at once.

    The first event's time is the start, or `since_ms`: then what happened before is due at once.
    """
    first_ms = since_ms

    def due(event: Event) -> float:
        nonlocal first_ms
        first_ms = event.ts if first_ms is None else first_ms
        return (event.ts - first_ms) / 1000 / times

    return due


@dataclass
class Replayed:
    """How far a replay has come."""

    events: int = 0
    bad_rows: int = 0
    first_bad_rows: list[tuple[str, BadRow]] = field(default_factory=list)
    """The first KEPT_BAD_ROWS of them, with the name of their file."""

    def count_bad_row(self, file_name: str, row: BadRow) -> None:
        self.bad_rows += 1
        if len(self.first_bad_rows) < KEPT_BAD_ROWS:
            self.first_bad_rows.append((file_name, row))


class Replay:
    """Sends the rows of one file after the other; events on schedule, damaged rows to the dead letters."""

    def __init__(
        self, producer: EventProducer, schedule: Schedule = at_once, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._producer = producer
        self._schedule = schedule
        self._clock = clock
        self._start_seconds: float | None = None
        self.replayed = Replayed()

    def send_rows(self, file_name: str, rows: Iterable[Event | BadRow]) -> None:
        """Send all rows of a file; may raise whatever `rows` raises, and RefusedError."""
        for row in rows:
            if isinstance(row, Event):
                self._wait_until(self._schedule(row))
                self._producer.send(row)
                self.replayed.events += 1
            else:
                self._producer.send_dead_letter(file_name, row)
                self.replayed.count_bad_row(file_name, row)

    def _wait_until(self, due_seconds: float) -> None:
        if self._start_seconds is None:
            self._start_seconds = self._clock()
        while due_seconds and (ahead := self._start_seconds + due_seconds - self._clock()) > _SHORTEST_WAIT_SECONDS:
            self._producer.wait(min(ahead, LONGEST_WAIT_SECONDS))
