"""Following further topics, whose records change the states of shoppers: each record once, whatever crashes.

Such a topic is partitioned as the events are. The owner of a partition reads it from a position that it keeps in the
changelog, and writes it in one transaction with the states that the records changed. What is there when the states are
restored is applied before the first event; what comes later, by the lane between two fetches.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.errors import CartcastError, RefusedError
from service.kafka import headers_of, heard, in_words, reason
from service.liveness import Liveness
from streams.changelog import PartitionReader

if TYPE_CHECKING:
    from streams.partition_states import PartitionStates

_RECORDS_AT_ONCE: Final = 1000
_WAIT_SECONDS: Final = 0.05
_ASK_SECONDS: Final = 5.0
_FETCH_WAIT_MS: Final = 20
_MOST_WAITING: Final = 50
"""So many handfuls of records wait for their lanes before nothing more is read."""
_QUEUED_KILOBYTES: Final = 16_384
_STOP_SECONDS: Final = 2.0
_UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FollowedRecord:
    """A record of a followed topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, message: Message) -> "FollowedRecord":
        return cls(message.offset() or 0, message.key(), message.value(), headers_of(message))

    def __repr__(self) -> str:
        return f"FollowedRecord(offset={self.offset})"  # what a log may hold ends here


@dataclass(frozen=True, slots=True)
class FollowedRecords:
    """Consecutive records of one partition of a followed topic; perhaps none."""

    topic: str
    partition: int
    records: Sequence[FollowedRecord]
    next_offset: int
    """Where the next ones begin."""
    events_end: int = 0
    """Where the events topic's partition ended after they were there."""

    @property
    def value_bytes(self) -> int:
        return sum(len(record.value or b"") for record in self.records)

    def since(self, offset: int) -> "FollowedRecords | None":
        """Return those at or after an offset, None if there is none."""
        records = [record for record in self.records if record.offset >= offset]
        return replace(self, records=records) if records else None


class Follower(Protocol):
    """What the records of a topic do to the states of a partition."""

    @property
    def topic(self) -> str: ...

    @property
    def at_once(self) -> int:
        """How many records may be applied together, as if they had arrived so; 0: as they did."""
        ...

    def apply(self, records: FollowedRecords, states: "PartitionStates") -> None:
        """Apply records that are new to the states; in a thread, within `PartitionStates.follow`."""
        ...


def read_followed(reader: PartitionReader, topic: str, partition: int, position: int, events: str) -> FollowedRecords:
    """Return what a partition holds from a position to its end; from its beginning if it was created again."""
    low, end = reader.bounds(topic, partition)
    if position > end:
        _log.warning("a topic that is followed was created again", topic=topic, partition=partition)
        position = low
    start = max(position, low)
    messages = reader.between(topic, partition, start, end) if start < end else ()
    records = [FollowedRecord.of(message) for message in messages]
    next_offset = records[-1].offset + 1 if records else position
    return FollowedRecords(topic, partition, records, next_offset, reader.bounds(events, partition)[1])


@dataclass(slots=True)
class Subscription:
    """A partition of a followed topic, and what has arrived of it and waits for its lane."""

    topic: str
    partition: int
    position: int
    """Where the next record is read."""
    on_arrival: Callable[[], None]
    """Called on the event loop."""
    waiting: deque[FollowedRecords] = field(default_factory=deque)

    def take(self, at_once: int) -> FollowedRecords:
        """Return the first that wait, joined with those behind them as long as they are no more than `at_once`."""
        taken = self.waiting.popleft()
        while self.waiting and len(taken.records) + len(self.waiting[0].records) <= at_once:
            after = self.waiting.popleft()
            taken = replace(after, records=[*taken.records, *after.records])
        return taken


class Following:
    """Reads the followed topics' partitions of this worker in a thread, and hands their records to lanes."""

    def __init__(
        self,
        client_config: Mapping[str, Any],
        events: str,
        followers: Iterable[Follower],
        on_failure: Callable[[CartcastError], None],
        liveness: Liveness,
    ) -> None:
        """`events` is the topic of events; `liveness` turns while the thread and its client get on.

        `on_failure` is called from the thread, which ends, if Kafka refuses to hand out a topic.
        """
        self.followers = {follower.topic: follower for follower in followers}
        self._client_config = client_config
        self._events = events
        self._on_failure = on_failure
        self._liveness = liveness
        self._wanted: dict[tuple[str, int], Subscription] = {}
        self._has_changed = Event()
        self._lock = Lock()
        self._stop = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name="follow", daemon=True)

    def subscribe(self, topic: str, partition: int, position: int, on_arrival: Callable[[], None]) -> Subscription:
        """Read a partition from a position on; whoever had it before gets nothing more."""
        subscription = Subscription(topic, partition, position, on_arrival)
        with self._lock:
            self._wanted[topic, partition] = subscription
            self._has_changed.set()
        if not self._thread.is_alive() and not self._stop.is_set():
            self._loop = asyncio.get_running_loop()
            self._thread.start()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Read it no more."""
        with self._lock:
            if self._wanted.get((subscription.topic, subscription.partition)) is subscription:
                del self._wanted[subscription.topic, subscription.partition]
                self._has_changed.set()
        subscription.waiting.clear()

    def stop(self) -> None:
        """Read nothing more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        self._liveness.turned()
        try:
            with closing(Consumer(self._consumer_config())) as consumer:
                self._read(consumer)
        except (CartcastError, KafkaException) as failure:
            told = reason(failure) if isinstance(failure, KafkaException) else str(failure)
            self._on_failure(RefusedError(f"a topic that the workers follow cannot be read: {told}"))

    def _read(self, consumer: Consumer) -> None:
        assigned: Mapping[tuple[str, int], Subscription] = {}
        while not self._stop.is_set():
            if self._has_changed.is_set():
                assigned = self._assign(consumer)
            messages = _arrived(consumer)
            ends = self._events_ends(consumer, {message.partition() or 0 for message in messages})
            for (topic, partition), group in groupby(messages, lambda message: (message.topic(), message.partition())):
                records = [FollowedRecord.of(message) for message in group]
                self._hand_on(assigned[topic, partition], records, ends[partition])
            while sum(len(each.waiting) for each in assigned.values()) > _MOST_WAITING and not self._is_disturbed():
                self._stop.wait(_WAIT_SECONDS)
                self._liveness.turned()

    def _is_disturbed(self) -> bool:
        return self._stop.is_set() or self._has_changed.is_set()

    def _assign(self, consumer: Consumer) -> Mapping[tuple[str, int], Subscription]:
        """Read what is wanted now; nothing of before comes afterwards."""
        with self._lock:
            self._has_changed.clear()
            wanted = dict(self._wanted)
        consumer.assign([TopicPartition(each.topic, each.partition, each.position) for each in wanted.values()])
        return wanted

    def _events_ends(self, consumer: Consumer, partitions: Iterable[int]) -> dict[int, int]:
        """Return where partitions of the events topic end now; waits for as long as Kafka is away."""
        asked = [TopicPartition(self._events, partition, OFFSET_END) for partition in partitions]
        while asked and not self._stop.is_set():
            with suppress(KafkaException):
                found = consumer.offsets_for_times(asked, timeout=_ASK_SECONDS)
                if not any(each.error for each in found):
                    return {each.partition: each.offset for each in found}
            self._stop.wait(_WAIT_SECONDS)
        return dict.fromkeys(partitions, 0)

    def _hand_on(self, subscription: Subscription, records: list[FollowedRecord], events_end: int) -> None:
        subscription.position = records[-1].offset + 1
        subscription.waiting.append(
            FollowedRecords(subscription.topic, subscription.partition, records, subscription.position, events_end)
        )
        if self._loop is not None:
            with suppress(RuntimeError):  # the worker has ended
                self._loop.call_soon_threadsafe(subscription.on_arrival)

    def _consumer_config(self) -> dict[str, Any]:
        return {
            **heard(self._client_config, self._liveness),
            "group.id": "cartcast-follow",  # needed, not used: no group is joined and nothing committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",  # what retention has taken is gone
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": _FETCH_WAIT_MS,
            "queued.max.messages.kbytes": _QUEUED_KILOBYTES,
        }


def _arrived(consumer: Consumer) -> list[Message]:
    """Return what has arrived, after a moment's wait for the first; raises RefusedError."""
    first = consumer.poll(_WAIT_SECONDS)
    if first is None:
        return []
    messages = [first, *consumer.consume(_RECORDS_AT_ONCE, 0)]
    for message in messages:
        _raise_if_final(message)
    return [message for message in messages if message.error() is None]


def _raise_if_final(message: Message) -> None:
    error = message.error()
    if error is None or error.retriable() or error.code() in {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}:
        return  # librdkafka goes on by itself
    advice = "; run `cartcast topics create`" if error.code() in _UNKNOWN else ""
    raise RefusedError(f"topic {message.topic()}: {in_words(error)}{advice}")
