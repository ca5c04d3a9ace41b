"""The sink's side of Kafka: its consumer, its commits, and what its failures mean."""

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from service.errors import CommitRefusedError, UnavailableError
from service.kafka import end_if_broken, heard, raise_if_refused, reason, settings_accepted
from service.liveness import Liveness
from sinks.bookmark import Bookmark, read_bookmark
from sinks.settings import SinkSettings

CLIENT_ID: Final = "cartcast-sink"
"""By which `doctor` tells a sink from a stranger in its group."""
OFFSETS_TIMEOUT_SECONDS: Final = 15.0
MAX_POLL_INTERVAL_MS: Final = 300_000
"""An insert may take a minute, and between two looks at Kafka there are at most four questions to ClickHouse."""
SOCKET_TIMEOUT_MS: Final = 15_000
"""A commit to a broker that has gone blocks the sink for so long, also during a stop."""
RECONNECT_MAX_MS: Final = 2_000

_error_of = methodcaller("error")
log = structlog.get_logger()


def open_consumer(client_config: Mapping[str, Any], group: str, settings: SinkSettings, liveness: Liveness) -> Consumer:
    """Return a consumer that commits only explicitly, in the classic group protocol.

    KIP-848's protocol refuses a static member after a SIGKILL until its session times out. `liveness` turns as long as
    the client gets on and is polled.
    """
    session_ms = int(settings.session_timeout_seconds * 1000)
    config: dict[str, Any] = {
        **heard(client_config, liveness),
        "error_cb": end_if_broken,
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


def first_and_end_offset(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return the first offset that a partition still has, and the offset of the next record that is written.

    Raises UnavailableError, or RefusedError if waiting will not help.
    """
    try:
        found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=OFFSETS_TIMEOUT_SECONDS)
    except KafkaException as failure:
        raise_if_refused(failure.args[0])
        raise UnavailableError(f"Kafka does not tell the offsets of {topic} ({reason(failure)})") from None
    if found is None:
        raise UnavailableError(f"Kafka does not tell the offsets of {topic} (timed out)")
    return int(found[0]), int(found[1])


class SourceEnd:
    """Knows the end of one partition of the events topic; asks again when a score lies beyond what it knows."""

    def __init__(self, consumer: Consumer, topic: str, partition: int) -> None:
        self._consumer = consumer
        self._topic = topic
        self._partition = partition
        self._end = 0

    def __call__(self, offset: int) -> int:
        """Return the end; raises what `first_and_end_offset` raises."""
        if offset >= self._end:
            self._end = max(self._end, first_and_end_offset(self._consumer, self._topic, self._partition)[1])
        return self._end


def committed_bookmarks(
    consumer: Consumer, assigned: Sequence[TopicPartition], topic_id: str, offsets: Mapping[int, tuple[int, int]]
) -> dict[int, Bookmark]:
    """Return the bookmark of each assigned partition, whose first and end `offsets` are given.

    Raises UnavailableError, or RefusedError if waiting will not help.
    """
    try:
        committed = consumer.committed(list(assigned), timeout=OFFSETS_TIMEOUT_SECONDS)
        for each in committed:
            if each.error is not None:
                raise KafkaException(each.error)
    except KafkaException as failure:
        raise_if_refused(failure.args[0])
        raise UnavailableError(f"Kafka gives no committed offsets ({reason(failure)})") from None
    return {
        each.partition: read_bookmark(
            each.offset if each.offset >= 0 else None, each.metadata, topic_id, offsets[each.partition][1]
        )
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
