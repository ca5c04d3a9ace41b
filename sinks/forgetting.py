"""Forgetting shoppers in ClickHouse, as the forget topic asks.

Rows are deleted when no further row can come: first the worker that owns the partition says that it scores the shopper
no more, then the sinks have stored what lay on the topics of results until then. A sink that begins to store these
again, because its commits are gone or the table lacks rows, leaves out whoever was to be forgotten when it began.
"""

import hashlib
import time
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice, takewhile
from threading import Event
from typing import Any, Final, cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.backoff import Backoff
from service.errors import CartcastError, CommitRefusedError
from service.forget import (
    REQUESTS_AT_ONCE,
    ROWS,
    STATES,
    Done,
    ForgetProducer,
    ForgetReader,
    Request,
    done_of,
    now_ms,
    request_of,
)
from service.kafka import metadata, open_admin, reason
from service.liveness import Liveness
from sinks.blocks import Record
from sinks.erasing import RowEraser
from sinks.kafka import first_and_end_offset, open_consumer, records_of
from sinks.observe.lag import LagSampler
from sinks.settings import SinkSettings

_RECORDS_AT_ONCE: Final = 10_000
_TURN_SECONDS: Final = 0.5
_STEP_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 150.0
"""A worker that lost its partition may hold scores for so long that it still sends: requests end after 40 seconds."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Who was to be forgotten when a partition of results was opened, and how far it went then."""

    digests: frozenset[bytes] = frozenset()
    until: int = 0

    def __bool__(self) -> bool:
        return bool(self.digests)

    def __contains__(self, record: object) -> bool:
        """Whether a record is left out: it lay there already, and is about one of them."""
        record = cast("Record", record)
        return record.offset() < self.until and hashlib.sha256(record.key() or b"").digest() in self.digests


NOBODY: Final = Forgotten()


def forgotten_at(client_config: Mapping[str, Any], topic: str, partition: int, until: int) -> Forgotten:
    """Return who the forget topic names in a partition; raises UnavailableError."""
    with closing(ForgetReader(client_config, topic)) as reader:
        found = (request_of(message.key(), message.value()) for message in reader.records(partition))
        digests = frozenset(bytes.fromhex(request[0].decode()) for request in found if request is not None)
    return Forgotten(digests, until) if digests else NOBODY


@dataclass(slots=True)
class _Partition:
    """What is asked in a partition, and what must be stored before its rows are deleted."""

    asked: "array[int]" = field(default_factory=lambda: array("q"))
    """Offsets of the requests whose rows are not deleted yet; who they are about is read when they are."""
    states_done: int = -1
    """Up to which request the worker has emptied states."""
    through: int = -1
    """The last request that is being dealt with, -1 for none."""
    ends: Mapping[str, int] = field(default_factory=dict)
    """By topic of results, how far it went when the states were gone."""
    erasure: Iterator[None] | None = None
    """Deletes the rows, a bounded part at a time, once these are stored."""

    def read(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        if request_of(key, value) is not None:
            self.asked.append(offset)
        elif (said := done_of(key, value)) is not None and said[0] == STATES:
            self.states_done = max(self.states_done, said[1].through)

    again: deque[tuple[float, int, int]] = field(default_factory=deque)
    """When to look again for rows of the requests from one offset through another, which are committed then."""

    def settle(self, look_again: float) -> None:
        """Note that the rows are gone, and when to look again."""
        self.again.append((look_again, self.asked[0], self.through))
        self.asked = self.asked[bisect_right(self.asked, self.through) :]
        self.through, self.ends = -1, {}


class Forgetting:
    """Reads the forget topic in a consumer group of its own and deletes rows; for one thread."""

    def __init__(  # noqa: PLR0913 - what it reads and where it deletes
        self,
        client_config: Mapping[str, Any],
        topic: str,
        group: str,
        groups_by_topic: Mapping[str, str],
        rows: RowEraser,
        *,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        """`groups_by_topic` are the sinks' groups by the topic of results that they store."""
        self.pending = 0
        """Requests of this sink's partitions whose rows are not deleted yet."""
        self.liveness = Liveness()
        self._client_config = client_config
        self._topic = topic
        self._group = group
        self._groups_by_topic = groups_by_topic
        self._rows = rows
        self._again_seconds = again_seconds
        self._partitions: dict[int, _Partition] = {}

    def run(self, settings: SinkSettings, stop: Event) -> None:
        """Delete rows until `stop` is set; a server that is away, or refuses, is asked again and again.

        Between two bounded parts of the work the group hears of this member, however many are to be forgotten.
        """
        backoff = Backoff(time.monotonic, _LONGEST_PAUSE_SECONDS)
        consumer = open_consumer(self._client_config, self._group, settings, self.liveness)
        self.liveness.turned()
        consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        sampler = LagSampler(self._client_config, {group: topic for topic, group in self._groups_by_topic.items()})
        with closing(consumer), closing(sampler):
            while not stop.is_set():
                try:
                    self._read(consumer)
                    if backoff.seconds_left() <= 0:
                        self._forget(consumer, sampler)
                        backoff.succeeded()
                except CartcastError as failure:
                    log.warning("rows wait to be forgotten", reason=str(failure), pause_seconds=backoff.failed())

    def _assigned(self, _consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._partitions = {each.partition: _Partition() for each in assigned}

    def _revoked(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        for each in revoked:
            self._partitions.pop(each.partition, None)

    def _read(self, consumer: Consumer) -> None:
        is_at_work = any(partition.erasure is not None for partition in self._partitions.values())
        for message in records_of(consumer.consume(_RECORDS_AT_ONCE, _STEP_SECONDS if is_at_work else _TURN_SECONDS)):
            if (partition := self._partitions.get(message.partition() or 0)) is not None:
                partition.read(message.offset() or 0, message.key(), message.value())
        self.pending = sum(len(partition.asked) for partition in self._partitions.values())

    def _forget(self, consumer: Consumer, sampler: LagSampler) -> None:
        """Begin, or do the next part of, what the partitions have to be forgotten."""
        for number, partition in self._partitions.items():
            if partition.through < 0 and partition.asked and partition.asked[0] <= partition.states_done:
                ends = {topic: first_and_end_offset(consumer, topic, number)[1] for topic in self._groups_by_topic}
                partition.through, partition.ends = partition.states_done, ends
        if any(partition.through >= 0 and partition.erasure is None for partition in self._partitions.values()):
            self._begin_what_is_stored(sampler)
        for number, partition in list(self._partitions.items()):
            if partition.erasure is not None:
                self._go_on(partition, partition.erasure)
            elif partition.through < 0 and partition.again and partition.again[0][0] <= time.monotonic():
                partition.erasure = self._look_again(consumer, number, partition)

    def _begin_what_is_stored(self, sampler: LagSampler) -> None:
        committed = {(each.topic, each.partition): each.committed for each in sampler.sample()}
        for number, partition in self._partitions.items():
            is_stored = all(committed.get((topic, number), -1) >= end for topic, end in partition.ends.items() if end)
            if partition.through >= 0 and partition.erasure is None and is_stored:
                partition.erasure = self._erase(number, partition)

    def _go_on(self, partition: _Partition, erasure: Iterator[None]) -> None:
        try:
            next(erasure)
        except StopIteration:
            partition.erasure = None
        except CartcastError:
            partition.erasure = None  # it begins again
            raise

    def _erase(self, number: int, partition: _Partition) -> Iterator[None]:
        """Ask for joined ids as well, delete rows, and say so, with pauses between bounded parts of that.

        Until it is committed whoever comes next does it again, and finds nothing. While there is a deletion that
        ClickHouse cannot carry out, and tries again by itself, none is added.
        """
        first, through = partition.asked[0], partition.through
        self._rows.is_deleting()
        listed = metadata(open_admin(self._client_config), self._client_config).topics[self._topic]
        producer = ForgetProducer(self._client_config, self._topic, len(listed.partitions))
        done = list[Done]()
        with closing(ForgetReader(self._client_config, self._topic)) as reader:
            for last, requests in _bounded(reader, number, first, through):
                for of, anonymous_id in self._rows.joined(list(requests)):
                    producer.ask(anonymous_id.encode(), joined_of(requests[of]))
                producer.flush()  # before the rows are gone that say so
                done.append(Done(last, _by_request(requests, self._rows.begin(list(requests))), 0))
                yield
        while self._rows.is_deleting():
            yield
        removed = Counter[str]()
        for each in done:
            producer.tell(number, ROWS, Done(each.through, each.removed, now_ms()))
            for counts in each.removed.values():
                removed.update(counts)
        producer.flush()
        partition.settle(time.monotonic() + self._again_seconds)
        log.info("rows forgotten", partition=number, through=through, **removed)

    def _look_again(self, consumer: Consumer, number: int, partition: _Partition) -> Iterator[None]:
        """Delete rows that came after all, of scores that a worker had sent before it was frozen or cut off; commit."""
        _, first, through = partition.again[0]
        self._rows.is_deleting()
        with closing(ForgetReader(self._client_config, self._topic)) as reader:
            for _, requests in _bounded(reader, number, first, through):
                self._rows.begin(list(requests))
                yield
        while self._rows.is_deleting():
            yield
        try:
            consumer.commit(offsets=[TopicPartition(self._topic, number, through + 1)], asynchronous=False)
        except KafkaException as failure:
            raise CommitRefusedError(f"Kafka did not take a commit ({reason(failure)})") from None
        partition.again.popleft()


def joined_of(request: Request) -> Request:
    """Return the request for an id that is joined to a shopper of another."""
    return Request(request.request, request.requested_at, joined=True)


def _bounded(
    reader: ForgetReader, partition: int, first: int, through: int
) -> Iterator[tuple[int, dict[bytes, Request]]]:
    """Yield the requests from one offset through another, so many at a time, by digest, with the last one's offset."""
    messages = takewhile(lambda message: (message.offset() or 0) <= through, reader.records(partition, first))
    found = (
        (message.offset() or 0, *named)
        for message in messages
        if (named := request_of(message.key(), message.value())) is not None
    )
    while some := list(islice(found, REQUESTS_AT_ONCE)):
        requests = dict[bytes, Request]()
        for _, key, request in some:
            requests.setdefault(key, request)
        yield some[-1][0], requests


def _by_request(requests: Mapping[bytes, Request], found: Mapping[bytes, Mapping[str, int]]) -> dict[str, Counter[str]]:
    """Return the numbers of rows by request and table, of those by digest and table."""
    counts = defaultdict[str, Counter[str]](Counter)
    for digest, rows in found.items():
        counts[requests[digest].request].update(rows)
    return counts
