"""The sink's side of Kafka: its consumer, its commits, and what its failures mean."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from sinks.bookmark import Bookmark, read_bookmark
from sinks.errors import CommitRefusedError, SinkError, UnavailableError
from sinks.settings import SinkSettings

TIMEOUT_SECONDS: Final = 5.0
COMMITTED_TIMEOUT_SECONDS: Final = 60.0
MAX_POLL_INTERVAL_MS: Final = 600_000
"""An insert may take a minute, and a refused block many inserts."""
SOCKET_TIMEOUT_MS: Final = 15_000
"""A commit to a broker that has gone holds the sink up for so long, also when it is told to stop."""
RECONNECT_MAX_MS: Final = 2_000
COMPLAINT_SECONDS: Final = 30.0

_REFUSALS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FATAL,
    }
)

log = structlog.get_logger()


def open_consumer(client_config: Mapping[str, Any], group: str, settings: SinkSettings) -> Consumer:
    """Return a consumer that commits only when told, in the classic group protocol.

    KIP-848's protocol refuses a static member after a SIGKILL until its session times out.
    """
    session_ms = int(settings.session_timeout_seconds * 1000)
    config: dict[str, Any] = {
        **client_config,
        "group.id": group,
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(session_ms // 5, 1),
        "max.poll.interval.ms": max(MAX_POLL_INTERVAL_MS, session_ms),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "socket.timeout.ms": SOCKET_TIMEOUT_MS,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "error_cb": _Complaints(),
        "log_level": 0,
    }
    if settings.instance_id is not None:
        config["group.instance.id"] = settings.instance_id
    try:
        return Consumer(config)
    except KafkaException as failure:
        reason = str(failure.args[0].str()).rstrip(".")
        raise SinkError(f"Kafka's client refuses its settings ({reason}): correct the kafka settings") from None


class TopicIdentity:
    """Asks for the id that Kafka gave a topic when it was created."""

    def __init__(self, client_config: Mapping[str, Any], topic: str) -> None:
        self._admin = AdminClient({**client_config, "log_level": 0})
        self._topic = topic

    def __call__(self) -> str:
        """Return the topic's id; raises SinkError if there is no such topic, UnavailableError if nobody answers."""
        asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=TIMEOUT_SECONDS)
        try:
            return str(asked[self._topic].result().topic_id)
        except KafkaException as failure:
            error = failure.args[0]
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise SinkError(f"topic {self._topic} does not exist: run `cartcast topics create`") from None
            raise_if_refused(error)
            raise UnavailableError(f"Kafka does not answer ({error.str()})") from None


def committed_bookmarks(consumer: Consumer, assigned: Sequence[TopicPartition], topic_id: str) -> dict[int, Bookmark]:
    """Return the bookmark of each assigned partition; raises SinkError if Kafka does not give them."""
    try:
        committed = consumer.committed(list(assigned), timeout=COMMITTED_TIMEOUT_SECONDS)
        for each in committed:
            if each.error is not None:
                raise KafkaException(each.error)
    except KafkaException as failure:
        raise SinkError(f"Kafka gives no committed offsets ({failure.args[0].str()}): start the sink again") from None
    return {
        each.partition: read_bookmark(each.offset if each.offset >= 0 else None, each.metadata, topic_id)
        for each in committed
    }


def commit(consumer: Consumer, topic: str, bookmarks: Mapping[int, Bookmark]) -> None:
    """Commit all bookmarks, or raise CommitRefusedError: then it is unknown which were taken."""
    offsets = [
        TopicPartition(topic, partition, bookmark.offset, bookmark.metadata())
        for partition, bookmark in bookmarks.items()
        if bookmark.offset is not None
    ]
    if not offsets:
        return
    try:
        for taken in consumer.commit(offsets=offsets, asynchronous=False):
            if taken.error is not None:
                raise KafkaException(taken.error)
    except KafkaException as failure:
        error = failure.args[0]
        raise_if_refused(error)
        raise CommitRefusedError(f"Kafka did not take a commit ({error.str()})") from None


def records_of(messages: Sequence[Message]) -> Sequence[Message]:
    """Leave out what is no record but a complaint of librdkafka; raises SinkError for one that does not pass."""
    complaints = [error for message in messages if (error := message.error()) is not None]
    if not complaints:
        return messages
    for error in complaints:
        raise_if_refused(error)
        log.warning("Kafka complains", reason=error.str())
    return [message for message in messages if message.error() is None]


def raise_if_refused(error: KafkaError) -> None:
    """Raise SinkError if waiting will not change `error`."""
    if error.code() == KafkaError.FENCED_INSTANCE_ID or "fenced" in error.str():
        raise SinkError("another sink runs under this one's sink.instance_id: give each its own")
    if error.code() in _REFUSALS or error.fatal():
        raise SinkError(f"Kafka refuses ({error.str()}): correct the CARTCAST_KAFKA__ settings, or the broker's ACLs")


class _Complaints:
    """Says what librdkafka complains of, one of a kind in a while: it goes on by itself, and tries often.

    What it cannot get over comes back as the failure of a later call.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        now = self._clock()
        if now >= self._quiet_until.get(error.code(), now):
            self._quiet_until[error.code()] = now + COMPLAINT_SECONDS
            log.warning("Kafka complains", reason=error.str())
