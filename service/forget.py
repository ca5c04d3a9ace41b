"""The topic on which shoppers are forgotten: who is to be, and what was done about it; neither names anybody.

A request is keyed by the SHA-256 of the shopper's id and lies in the partition of their events. Whoever has dealt with
the requests of a partition up to an offset says so behind them in the same partition: the worker that owns it of its
states, a sink of the rows in ClickHouse.
"""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from service.errors import RefusedError, UnavailableError
from service.kafka import silent
from service.partitioner import partition_of

STATES: Final = "states"
ROWS: Final = "rows"
PARTS: Final = (STATES, ROWS)
"""What there is to be forgotten, by who does it; the key of what they say."""
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")
_FLUSH_SECONDS: Final = 60.0
_READ_SECONDS: Final = 60.0
_RECORDS_AT_ONCE: Final = 10_000
_WAIT_SECONDS: Final = 0.05
_ENDS: Final = frozenset({KafkaError._PARTITION_EOF, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})

_encode: Final = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True):
    """The value of a request."""

    request: str
    """Names the call that asked, the same for all of its shoppers."""
    requested_at: int
    """Epoch milliseconds."""


class Done(msgspec.Struct, frozen=True):
    """What was done about all requests of a partition up to one."""

    through: int
    """The offset of the last one."""
    removed: Mapping[str, int]
    """How many states, or rows by table, were there to be removed since the last such record."""
    done_at: int
    """Epoch milliseconds."""


@dataclass(slots=True)
class Requests:
    """What one partition of the topic says."""

    asked: dict[int, tuple[bytes, Request]] = field(default_factory=dict)
    """By offset: the digest of the shopper's id, and the request."""
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, -1))
    """By part, up to which offset."""
    said: list[tuple[str, Done]] = field(default_factory=list)
    """What was done, in order, and by which part."""

    def read(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take a record; what is neither a request nor says what was done is left out."""
        if (request := request_of(key, value)) is not None:
            self.asked[offset] = request
        elif (done := done_of(key, value)) is not None:
            part, said = done
            self.done[part] = max(self.done[part], said.through)
            self.said.append(done)

    def pending(self, part: str, name: str | None = None) -> int:
        """Return how many shoppers a part has still to forget, of the request of that name or of all."""
        return sum(
            offset > self.done[part]
            for offset, (_, request) in self.asked.items()
            if name is None or request.request == name
        )

    def removed(self, part: str, name: str) -> Counter[str]:
        """Return what a part has removed since a request, for it and for others that came with it or after it."""
        counts, first = (
            Counter[str](),
            min((at for at, (_, each) in self.asked.items() if each.request == name), default=-1),
        )
        for who, said in self.said:
            if who == part and 0 <= first <= said.through:
                counts.update(said.removed)
        return counts


def digest(user_id: bytes) -> bytes:
    """Return the SHA-256 by which the topic knows a shopper, in 64 hexadecimal digits."""
    return hashlib.sha256(user_id).hexdigest().encode()


def request_of(key: bytes | None, value: bytes | None) -> tuple[bytes, Request] | None:
    """Return the digest and the request of a record, None if it is none."""
    if key is None or value is None or not _DIGEST.fullmatch(key):
        return None
    try:
        return key, msgspec.json.decode(value, type=Request)
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


def encoded(said: Request | Done) -> bytes:
    """Return the value of a record."""
    return _encode(said)


def read_requests(client_config: Mapping[str, Any], topic: str, partition: int) -> Requests:
    """Return what a partition says up to its end of now; nothing if there is no such topic.

    Raises UnavailableError if Kafka does not hand it out within a minute.
    """
    requests, deadline = Requests(), time.monotonic() + _READ_SECONDS
    consumer = Consumer(
        {
            **silent(client_config),
            "group.id": "cartcast-forget",  # needed, not used: no group is joined and nothing committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        while time.monotonic() < deadline:
            for message in consumer.consume(_RECORDS_AT_ONCE, _WAIT_SECONDS):
                error = message.error()
                if error is None:
                    requests.read(message.offset() or 0, message.key(), message.value())
                elif error.code() in _ENDS:
                    return requests
    finally:
        consumer.close()
    raise UnavailableError(f"Kafka does not hand out {topic} partition {partition}: see whether it has a leader")


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
