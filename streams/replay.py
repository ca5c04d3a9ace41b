"""History to the events topic: one shopper, one partition, every delivery confirmed, at a chosen pace."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec
from confluent_kafka import KafkaError
from msgspec import structs

from model.events import Event
from model.validate import BadRow
from service.kafka import (
    Headers,
    cut_dead_letter,
    dead_letter_headers,
    source_headers,
)
from service.kafka_settings import Topics
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from streams.confirmed import LONGEST_WAIT_SECONDS, ConfirmedProducer

NOT_FROM_A_PARTITION: Final = -1
"""The `partition` header of a dead letter that comes from a file."""

_SHORTEST_WAIT_SECONDS: Final = 0.001  # librdkafka counts in milliseconds

KEPT_BAD_ROWS: Final = 20
SIZE: Final = "size"
"""Reason of an event that the events topic does not take, which is nearly always its size."""

Schedule: TypeAlias = Callable[[Event], float]
"""Called once an event, in order: the seconds after the start at which it is due."""


class EventProducer(ConfirmedProducer):
    """Sends events to the events topic and damaged rows to the dead letters.

    An event that the topic refuses for what it is becomes a dead letter of reason SIZE that holds its beginning.
    """

    def __init__(
        self, client_config: Mapping[str, Any], topics: Topics, pseudonyms: Pseudonyms = NO_PSEUDONYMS
    ) -> None:
        """Ids of events and dead letters are replaced by `pseudonyms`, records that are sent as they are excepted."""
        super().__init__(client_config)
        self._topics = topics
        self._pseudonyms = pseudonyms
        self._encode = msgspec.json.Encoder().encode
        self.refused = 0
        """Events among those that were sent that became dead letters."""

    def send(self, event: Event) -> None:
        """Queue one event, keyed by its shopper."""
        if self._pseudonyms:
            anonymous_id = event.anonymous_id and self._pseudonyms.of(event.anonymous_id)
            event = structs.replace(event, user_id=self._pseudonyms.of(event.user_id), anonymous_id=anonymous_id)
        self.produce(self._topics.events, event.user_id.encode(), self._encode(event))

    def send_bytes(self, key: bytes, value: bytes, headers: Headers) -> None:
        """Queue a record of the events topic as it is."""
        self.produce(self._topics.events, key, value, headers)

    def send_dead_letter(self, file_name: str, row: BadRow) -> None:
        """Queue a damaged row of a file: its bytes as they are, unless ids are replaced, and where they stood."""
        source = source_headers(file_name, NOT_FROM_A_PARTITION, row.line)
        headers = dead_letter_headers(source, reason=row.reason, error=row.error)
        self.produce(self._topics.dead_letters, None, None if self._pseudonyms else row.raw, headers)

    def dealt_with(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, error: KafkaError
    ) -> bool:
        """Make a dead letter of an event, and a cut one of a dead letter that is whole."""
        if topic == self._topics.events:
            self.refused += 1
            source = source_headers(topic, NOT_FROM_A_PARTITION, self.refused)
            headers = dead_letter_headers(source, reason=SIZE, error=f"{topic} does not take the event: {error.str()}")
        elif "sha256" in dict(headers):
            return False
        key, value, headers = cut_dead_letter(key, value, headers)
        self._producer.produce(self._topics.dead_letters, value, key, headers=headers)
        return True


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
