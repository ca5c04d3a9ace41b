"""The topic on which shoppers are forgotten: who is to be, and what was done about it; neither names anybody.

A request is keyed by the SHA-256 of the shopper's id and lies in the partition of their events. Whoever has dealt with
the requests of a partition up to an offset says so behind them in the same partition: the worker that owns it of its
states, a sink of the rows in ClickHouse.
"""

import hashlib
import re
import time
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from service.errors import RefusedError, UnavailableError
from service.kafka import silent
from service.partitioner import partition_of

STATES: Final = "states"
ROWS: Final = "rows"
PARTS: Final = (STATES, ROWS)
"""What there is to be forgotten, by who does it; the key of what they say."""
JOINED_IDS: Final = b"joined"
"""The key of what asks for joined ids."""
REQUESTS_AT_ONCE: Final = 10_000
"""So many are dealt with together: what was done about them fits into one record, whoever made each."""
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")
_FLUSH_SECONDS: Final = 60.0
_READ_SECONDS: Final = 60.0
_RECORDS_AT_ONCE: Final = 10_000
_WAIT_SECONDS: Final = 0.05
_ENDS: Final = frozenset({KafkaError._PARTITION_EOF, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})

_encode: Final = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a request."""

    request: str
    """Names the call that asked, the same for all of its shoppers."""
    requested_at: int
    """Epoch milliseconds."""
    joined: bool = False
    """Whether it is about an id that was joined to one of the shoppers."""


class Done(msgspec.Struct, frozen=True):
    """What was done about all requests of a partition up to one."""

    through: int
    """The offset of the last one."""
    removed: Mapping[str, Mapping[str, int]]
    """By request: how many states, or rows by table, were there to be removed; nothing where none were."""
    done_at: int
    """Epoch milliseconds."""


class JoinedIds(msgspec.Struct, frozen=True):
    """Asks the workers of every partition for requests about the ids that were joined to shoppers."""

    request: str
    requested_at: int
    digests: list[str]
    """Of the shoppers' ids."""


@dataclass(slots=True)
class Requests:
    """What one partition of the topic says: some bytes a request, who is meant only of joined ids."""

    next_offset: int = 0
    asked: dict[str, "array[int]"] = field(default_factory=dict)
    """Offsets, in order, by the name of the request."""
    joined: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Digests of joined ids, by the name of the request."""
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, -1))
    """By part, up to which offset."""
    _removed: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def read(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take a record; what is neither a request nor says what was done is left out."""
        self.next_offset = offset + 1
        if (found := request_of(key, value)) is not None:
            digest, request = found
            if request.joined:  # which a worker and a sink may ask for, and each again after a crash
                if digest in self.joined[request.request]:
                    return
                self.joined[request.request].add(digest)
            self.asked.setdefault(request.request, array("q")).append(offset)
        elif (said := done_of(key, value)) is not None:
            part, done = said
            self.done[part] = max(self.done[part], done.through)
            for name, removed in done.removed.items():
                self._removed[part, name].update(removed)

    @property
    def count(self) -> int:
        """How many requests there are."""
        return sum(map(len, self.asked.values()))

    def pending(self, part: str, name: str | None = None) -> int:
        """Return how many a part has still to deal with, of the request of that name or of all."""
        asked = self.asked.values() if name is None else [self.asked.get(name, array("q"))]
        return sum(len(offsets) - bisect_right(offsets, self.done[part]) for offsets in asked)

    def removed(self, part: str, name: str) -> Counter[str]:
        """Return what a part has removed for a request."""
        return self._removed.get((part, name), Counter())


def digest(user_id: bytes) -> bytes:
    """Return the SHA-256 by which the topic knows a shopper, in 64 hexadecimal digits."""
    return hashlib.sha256(user_id).hexdigest().encode()


def request_of(key: bytes | None, value: bytes | None) -> tuple[bytes, Request] | None:
    """Return the digest and the request of a record, None if it is none."""
    if key is None or value is None or not _DIGEST.fullmatch(key):
        return None
    request = _request(value)
    return None if request is None else (key, request)


@lru_cache(64)
def _request(value: bytes) -> Request | None:
    """Return what a value says; those of one call are the same."""
    try:
        return msgspec.json.decode(value, type=Request)
    except msgspec.MsgspecError:
        return None


def done_of(key: bytes | None, value: bytes | None) -> tuple[str, Done] | None:
    """Return which part says what was done, None if the record says nothing of the kind."""
    part = (key or b"").decode(errors="replace")
    if part not in PARTS:
        return None
    try:
        return part, msgspec.json.decode(value or b"", type=Done)
    except msgspec.MsgspecError:
        return None


def joined_of(key: bytes | None, value: bytes | None) -> JoinedIds | None:
    """Return what asks for joined ids, None if the record does not."""
    if key != JOINED_IDS:
        return None
    try:
        return msgspec.json.decode(value or b"", type=JoinedIds)
    except msgspec.MsgspecError:
        return None


def encoded(said: Request | Done | JoinedIds) -> bytes:
    """Return the value of a record."""
    return _encode(said)


class ForgetReader:
    """Reads partitions of the topic outside any consumer group; for one thread."""

    def __init__(self, client_config: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                **silent(client_config),
                "group.id": "cartcast-forget",  # needed, not used: no group is joined and nothing committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,  # else each partition's end costs half a second
                "queued.min.messages": _RECORDS_AT_ONCE,  # who reads may take a minute for so many
                "queued.max.messages.kbytes": 4096,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def records(self, partition: int, start: int = 0) -> Iterator[Message]:
        """Yield what a partition holds from an offset to its end of now; nothing if there is no such topic.

        Raises UnavailableError if Kafka hands nothing out for a minute.
        """
        self._consumer.assign([TopicPartition(self._topic, partition, start)])
        deadline = time.monotonic() + _READ_SECONDS
        while time.monotonic() < deadline:
            for message in self._consumer.consume(_RECORDS_AT_ONCE, _WAIT_SECONDS):
                error = message.error()
                if error is None:
                    yield message
                    deadline = time.monotonic() + _READ_SECONDS
                elif error.code() in _ENDS:
                    return
        raise UnavailableError(
            f"Kafka does not hand out {self._topic} partition {partition}: see whether it has a leader"
        )

    def update(self, requests: Requests, partition: int) -> None:
        """Read on; raises UnavailableError."""
        for message in self.records(partition, requests.next_offset):
            requests.read(message.offset() or 0, message.key(), message.value())


class ForgetProducer:
    """Writes to the topic; every record is confirmed before `flush` returns."""

    def __init__(self, client_config: Mapping[str, Any], topic: str, partitions: int) -> None:
        self._producer = Producer({**silent(client_config), "acks": "all", "enable.idempotence": True, "linger.ms": 5})
        self._topic = topic
        self._partitions = partitions
        self._failure: KafkaError | None = None
        self.last_offset = -1
        """Of what was sent; known after `flush`."""

    def ask(self, user_id: bytes, request: Request) -> int:
        """Ask that a shopper be forgotten; returns the partition that it is for."""
        partition = partition_of(user_id, self._partitions)
        self._produce(partition, digest(user_id), encoded(request))
        return partition

    def tell(self, partition: int, part: str, done: Done) -> None:
        """Say what a part has done."""
        self._produce(partition, part.encode(), encoded(done))

    def flush(self) -> None:
        """Return when Kafka has everything; raises RefusedError."""
        if self._producer.flush(_FLUSH_SECONDS) or self._failure is not None:
            why = "timed out" if self._failure is None else self._failure.str()
            raise RefusedError(f"{self._topic} did not take every request ({why}): ask again, it is safe to repeat")

    def _produce(self, partition: int, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition, on_delivery=self._note)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _note(self, error: KafkaError | None, sent: Message) -> None:
        self._failure = self._failure or error
        self.last_offset = int(sent.offset() or 0)


def now_ms() -> int:
    """Return the time, epoch milliseconds."""
    return time.time_ns() // 1_000_000
