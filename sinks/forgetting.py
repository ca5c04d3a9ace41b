"""Forgetting shoppers in ClickHouse, as the forget topic asks.

Rows are deleted when no further row can come: first the worker that owns the partition says that it scores the shopper
no more, then the sinks have stored what lay on the topics of results until then. A sink that begins to store these
again, because its commits are gone or the table lacks rows, leaves out whoever was to be forgotten when it began.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final, cast

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.backoff import Backoff
from service.errors import CartcastError, CommitRefusedError
from service.forget import ROWS, STATES, Done, ForgetProducer, Request, Requests, digest, now_ms, read_requests
from service.kafka import metadata, open_admin, reason
from sinks.blocks import Record
from sinks.erasing import RowEraser
from sinks.kafka import first_and_end_offset, open_consumer, records_of
from sinks.observe.lag import LagSampler
from sinks.settings import SinkSettings

_RECORDS_AT_ONCE: Final = 10_000
_TURN_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0

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
        return record.offset() < self.until and digest(record.key() or b"") in self.digests


NOBODY: Final = Forgotten()


def forgotten_at(client_config: Mapping[str, Any], topic: str, partition: int, until: int) -> Forgotten:
    """Return who the forget topic names in a partition; raises UnavailableError."""
    requests = read_requests(client_config, topic, partition)
    return Forgotten(frozenset(key for key, _ in requests.asked.values()), until) if requests.asked else NOBODY


@dataclass(slots=True)
class _Partition:
    """What is asked in a partition, and what must be stored before its rows are deleted."""

    requests: Requests = field(default_factory=Requests)
    through: int = -1
    """The last request that is being dealt with, -1 for none."""
    ends: Mapping[str, int] = field(default_factory=dict)
    """By topic of results, how far it went when the states were gone."""

    @property
    def digests(self) -> dict[Request, list[bytes]]:
        """Whose rows are to be deleted, by request."""
        found = defaultdict[Request, list[bytes]](list)
        for offset, (key, request) in self.requests.asked.items():
            if offset <= self.through:
                found[request].append(key)
        return found

    def settle(self) -> None:
        """Note that the rows are gone."""
        self.requests.asked = {at: asked for at, asked in self.requests.asked.items() if at > self.through}
        self.through, self.ends = -1, {}


class Forgetting:
    """Reads the forget topic in a consumer group of its own and deletes rows; for one thread."""

    def __init__(
        self,
        client_config: Mapping[str, Any],
        topic: str,
        group: str,
        groups_by_topic: Mapping[str, str],
        rows: RowEraser,
    ) -> None:
        """`groups_by_topic` are the sinks' groups by the topic of results that they store."""
        self.pending = 0
        """Requests of this sink's partitions whose rows are not deleted yet."""
        self._client_config = client_config
        self._topic = topic
        self._group = group
        self._groups_by_topic = groups_by_topic
        self._rows = rows
        self._partitions: dict[int, _Partition] = {}

    def run(self, settings: SinkSettings, stop: Event) -> None:
        """Delete rows until `stop` is set; a server that is away, or refuses, is asked again and again."""
        backoff = Backoff(time.monotonic, _LONGEST_PAUSE_SECONDS)
        consumer = open_consumer(self._client_config, self._group, settings)
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
        for message in records_of(consumer.consume(_RECORDS_AT_ONCE, _TURN_SECONDS)):
            if (partition := self._partitions.get(message.partition() or 0)) is not None:
                partition.requests.read(message.offset() or 0, message.key(), message.value())
        self.pending = sum(len(partition.requests.asked) for partition in self._partitions.values())

    def _forget(self, consumer: Consumer, sampler: LagSampler) -> None:
        for number, partition in self._partitions.items():
            if partition.through < 0 and any(at <= partition.requests.done[STATES] for at in partition.requests.asked):
                ends = {topic: first_and_end_offset(consumer, topic, number)[1] for topic in self._groups_by_topic}
                partition.through, partition.ends = partition.requests.done[STATES], ends
        begun = {number: partition for number, partition in self._partitions.items() if partition.through >= 0}
        if not begun:
            return
        committed = {(each.topic, each.partition): each.committed for each in sampler.sample()}
        for number, partition in begun.items():
            if all(committed.get((topic, number), -1) >= end for topic, end in partition.ends.items() if end):
                self._erase(consumer, number, partition)

    def _erase(self, consumer: Consumer, number: int, partition: _Partition) -> None:
        """Ask for joined ids as well, delete rows, say so, and commit.

        Whoever is killed in between does it again, and finds nothing.
        """
        digests, through = partition.digests, partition.through
        listed = metadata(open_admin(self._client_config), self._client_config).topics[self._topic]
        producer = ForgetProducer(self._client_config, self._topic, len(listed.partitions))
        for request, keys in digests.items():
            for anonymous_id in self._rows.joined(keys):
                producer.ask(anonymous_id.encode(), request)
        producer.flush()  # before the rows are gone that say so
        removed = self._rows.erase([key for keys in digests.values() for key in keys])
        producer.tell(number, ROWS, Done(through, removed, now_ms()))
        producer.flush()
        try:
            consumer.commit(offsets=[TopicPartition(self._topic, number, through + 1)], asynchronous=False)
        except KafkaException as failure:
            raise CommitRefusedError(f"Kafka did not take a commit ({reason(failure)})") from None
        partition.settle()
        log.info("rows forgotten", partition=number, through=through, **removed)
