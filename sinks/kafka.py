"""The sink's side of Kafka: its consumer, its commits, and what its failures mean."""

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from service.errors import CommitRefusedError, RefusedError
from service.kafka import logged, raise_if_refused, reason, settings_accepted
from sinks.bookmark import Bookmark, read_bookmark
from sinks.settings import SinkSettings

CLIENT_ID: Final = "cartcast-sink"
"""By which `doctor` tells a sink from a stranger in its group."""
COMMITTED_TIMEOUT_SECONDS: Final = 60.0
MAX_POLL_INTERVAL_MS: Final = 600_000
"""An insert may take a minute, and a refused block many inserts."""
SOCKET_TIMEOUT_MS: Final = 15_000
"""A commit to a broker that has gone blocks the sink for so long, also during a stop."""
RECONNECT_MAX_MS: Final = 2_000

_error_of = methodcaller("error")
log = structlog.get_logger()


def open_consumer(client_config: Mapping[str, Any], group: str, settings: SinkSettings) -> Consumer:
    """Return a consumer that commits only explicitly, in the classic group protocol.

    KIP-848's protocol refuses a static member after a SIGKILL until its session times out.
    """
    session_ms = int(settings.session_timeout_seconds * 1000)
    config: dict[str, Any] = {
        **logged(client_config),
        "client.id": CLIENT_ID,
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
    }
    if settings.instance_id is not None:
        config["group.instance.id"] = settings.instance_id
    with settings_accepted():
        return Consumer(config)


def committed_bookmarks(consumer: Consumer, assigned: Sequence[TopicPartition], topic_id: str) -> dict[int, Bookmark]:
    """Return the bookmark of each assigned partition; raises RefusedError if Kafka does not give them."""
    try:
        committed = consumer.committed(list(assigned), timeout=COMMITTED_TIMEOUT_SECONDS)
        for each in committed:
            if each.error is not None:
                raise KafkaException(each.error)
    except KafkaException as failure:
        raise RefusedError(f"Kafka gives no committed offsets ({reason(failure)}): start the sink again") from None
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
    """Leave out what is no record but an error of librdkafka; raises RefusedError for one that will not pass."""
    errors = [error for error in map(_error_of, messages) if error is not None]
    if not errors:
        return messages
    for error in errors:
        raise_if_refused(error)
        log.warning("Kafka reports an error", reason=error.str())
    return [message for message in messages if message.error() is None]
