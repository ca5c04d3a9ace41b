"""The pipeline's topics: created once, and checked before anything runs on them.

All have the same number of partitions. A score goes to the partition with its event's number, and a user's state to
the changelog partition of the user's events: the numbers must agree, or states and scores end up in the wrong place.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.errors import StreamError
from streams.settings import Topics

TIMEOUT_SECONDS = 8.0
APPEAR_SECONDS = 10.0
CREATE = "run `cartcast topics create`"
ELSEWHERE = "or use another CARTCAST_KAFKA__TOPIC_PREFIX"


def topic_configs(topics: Topics) -> dict[str, dict[str, str]]:
    """Return what each topic needs beyond the broker's defaults, by topic name.

    Scores carry the broker's time of arrival, so that anybody can measure the delay from event to score with the
    times of the records alone.
    """
    return {
        topics.events: {},
        topics.scores: {"message.timestamp.type": "LogAppendTime"},
        topics.dead_letters: {},
        topics.changelog: {"cleanup.policy": "compact"},
    }


def create_topics(
    client_config: Mapping[str, Any], topics: Topics, *, partitions: int, replication_factor: int
) -> list[str]:
    """Create the topics that are missing and return their names; safe to repeat.

    Raises StreamError if Kafka does not answer or refuses, or if a topic exists with another number of partitions.
    """
    admin = _admin(client_config)
    present = _partition_counts(admin, client_config, topics)
    for name, count in present.items():
        if count != partitions:
            raise StreamError(
                f"topic {name} has {count} partitions, but kafka.partitions is {partitions}: "
                f"set CARTCAST_KAFKA__PARTITIONS={count}, {ELSEWHERE}"
            )
    missing = [
        NewTopic(name, partitions, replication_factor, config=config)
        for name, config in topic_configs(topics).items()
        if name not in present
    ]
    if missing:
        created = _create(admin, missing)
        _wait_until_listed(admin, client_config, topics)
        return created
    return []


def check_topics(client_config: Mapping[str, Any], topics: Topics) -> int:
    """Return the number of partitions that all topics have.

    Raises StreamError if Kafka does not answer, a topic does not exist, or the numbers differ.
    """
    counts = _partition_counts(_admin(client_config), client_config, topics)
    for name in topic_configs(topics):
        if name not in counts:
            raise StreamError(f"topic {name} does not exist at {_where(client_config)}: {CREATE}")
    expected = counts[topics.events]
    for name, count in counts.items():
        if count != expected:
            raise StreamError(
                f"topic {name} has {count} partitions, but {topics.events} has {expected}: delete {name} and {CREATE} "
                f"with CARTCAST_KAFKA__PARTITIONS={expected}, {ELSEWHERE}"
            )
    return expected


def topic_identity(client_config: Mapping[str, Any], topic: str) -> str:
    """Return the id that Kafka gave this topic: a topic that is deleted and created again has another.

    Raises StreamError.
    """
    admin = _admin(client_config)  # must outlive the answer
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_SECONDS)
    try:
        return str(asked[topic].result().topic_id)
    except KafkaException as failure:
        raise StreamError(f"Kafka does not describe topic {topic}: {_reason(failure)}") from None


def count_brokers(client_config: Mapping[str, Any]) -> int:
    """Return how many brokers the cluster has; raises StreamError if it does not answer."""
    return len(_metadata(_admin(client_config), client_config).brokers)


def unused_prefix(client_config: Mapping[str, Any], prefix: str) -> str:
    """Return `prefix` if no topic of a pipeline with it exists, else the first of `prefix-2`, `prefix-3` ... like that.

    Raises StreamError if Kafka does not answer.
    """
    admin = _admin(client_config)
    for candidate in itertools.chain([prefix], (f"{prefix}-{number}" for number in itertools.count(2))):
        if not _partition_counts(admin, client_config, Topics(prefix=candidate)):
            return candidate
    raise AssertionError("count() does not end")


def _admin(client_config: Mapping[str, Any]) -> AdminClient:
    """`log_level` 0: what librdkafka would write to stderr arrives as one StreamError."""
    try:
        return AdminClient({**client_config, "log_level": 0})
    except KafkaException as failure:
        raise StreamError(
            f"Kafka's client refuses its settings ({_reason(failure)}): correct the kafka settings"
        ) from None


def _partition_counts(admin: AdminClient, client_config: Mapping[str, Any], topics: Topics) -> dict[str, int]:
    """Partitions by name of those of the pipeline's topics that exist."""
    listed = _metadata(admin, client_config).topics
    return {name: len(listed[name].partitions) for name in topic_configs(topics) if name in listed}


def _metadata(admin: AdminClient, client_config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the client exports no type
    try:
        # All topics, because asking for one by name creates it on a cluster with auto.create.topics.enable.
        return admin.list_topics(timeout=TIMEOUT_SECONDS)
    except KafkaException as failure:
        raise StreamError(
            f"Kafka at {_where(client_config)} does not answer ({_reason(failure)}): start it (`cartcast up`), "
            "or correct CARTCAST_KAFKA__BOOTSTRAP_SERVERS"
        ) from None


def _create(admin: AdminClient, missing: list[NewTopic]) -> list[str]:
    outcomes: dict[str, Future[None]] = admin.create_topics(missing, operation_timeout=TIMEOUT_SECONDS)
    return [name for name, outcome in outcomes.items() if _created(name, outcome)]


def _created(name: str, outcome: "Future[None]") -> bool:
    try:
        outcome.result()
    except KafkaException as failure:
        if failure.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
            return False
        raise StreamError(f"Kafka does not create topic {name}: {_reason(failure)}") from None
    return True


def _wait_until_listed(
    admin: AdminClient,
    client_config: Mapping[str, Any],
    topics: Topics,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when the brokers list what the controller has created, usually a moment later."""
    deadline = clock() + APPEAR_SECONDS
    while len(_partition_counts(admin, client_config, topics)) < len(topic_configs(topics)):
        if clock() > deadline:
            raise StreamError(f"the topics of {topics.prefix} were created but are not listed: run the command again")
        time.sleep(0.02)


def _reason(failure: KafkaException) -> str:
    return str(failure.args[0].str()).rstrip(".")


def _where(client_config: Mapping[str, Any]) -> str:
    return str(client_config["bootstrap.servers"])
