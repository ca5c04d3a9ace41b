"""The pipeline's topics: created once, and checked before anything runs on them.

All but that of items have the same number of partitions. A score goes to the partition with its event's number, and a
user's state to the changelog partition of the user's events: the numbers must agree, or states and scores end up in the
wrong place. Nothing that scores needs items, so that their topic may be missing,
and so may that of recommendations where nobody recommends.
"""

import itertools
import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic

from service.errors import RefusedError
from service.kafka import TIMEOUT_SECONDS, Administrator, metadata, open_admin, reason, where
from service.kafka_settings import Topics
from streams.topic_configs import BROKER_DEFAULTS, TopicRetention, partitions_of, topic_configs

APPEAR_SECONDS = 10.0
_CONNECT_SECONDS: Final = 5.0
_FIRST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
CREATE = "run `cartcast topics create`"
GROW = "run `cartcast topics create --partitions"
ELSEWHERE = "or use another CARTCAST_KAFKA__TOPIC_PREFIX"


def create_topics(
    client_config: Mapping[str, Any],
    topics: Topics,
    *,
    partitions: int,
    replication_factor: int,
    retention: TopicRetention = BROKER_DEFAULTS,
) -> list[str]:
    """Create the topics that are missing and return their names; safe to repeat.

    Everything is asked before anything is made: the brokers judge all missing topics first. Raises RefusedError if
    Kafka does not answer or refuses, has fewer brokers than replicas, or has a topic with another number of partitions.
    """
    admin = open_admin(client_config)
    listed = metadata(admin, client_config).topics
    _refuse_other_counts(_partition_counts(admin, client_config, topics), partitions)
    counts = partitions_of(topics, partitions)
    missing = [
        NewTopic(name, counts[name], replication_factor, config=config)
        for name, config in topic_configs(topics, retention).items()
        if name not in listed
    ]
    if not missing:
        return []
    _refuse_too_few_brokers(len(metadata(admin, client_config).brokers), replication_factor, client_config)
    _create(admin, missing, validate_only=True)
    created = _create(admin, missing)
    _wait_until_listed(admin, client_config, topics)
    return created


def _refuse_other_counts(present: Mapping[str, int], partitions: int) -> None:
    for name, count in present.items():
        if count != partitions:
            grow = f"{GROW} {partitions}`, " if partitions > count else ""
            raise RefusedError(
                f"topic {name} has {count} partitions, but kafka.partitions is {partitions}: "
                f"set CARTCAST_KAFKA__PARTITIONS={count}, {grow}{ELSEWHERE}"
            )


def _refuse_too_few_brokers(brokers: int, replication_factor: int, client_config: Mapping[str, Any]) -> None:
    if brokers < replication_factor:
        raise RefusedError(
            f"Kafka at {where(client_config)} has {brokers} broker{'s' if brokers > 1 else ''}, but "
            f"kafka.replication_factor is {replication_factor}: start more brokers, "
            f"or set CARTCAST_KAFKA__REPLICATION_FACTOR={brokers}"
        )


@dataclass(frozen=True, slots=True)
class ListedTopic:
    """A topic as Kafka has it now; without partitions if there is none."""

    name: str
    partitions: int = 0
    copies: int = 0
    records: int = 0
    """From the first offset to the end: more than there are where they are compacted or in transactions."""


def listed_topics(client_config: Mapping[str, Any], topics: Topics) -> list[ListedTopic]:
    """Return all topics of the pipeline; raises UnavailableError if Kafka does not answer, RefusedError if it refuses.

    One that does not exist has no partitions.
    """
    admin = open_admin(client_config)
    listed, found = metadata(admin, client_config).topics, []
    for name in topic_configs(topics):
        if name not in listed:
            found.append(ListedTopic(name))
            continue
        partitions = listed[name].partitions
        records = _offsets(admin, name, partitions, _END) - _offsets(admin, name, partitions, _FIRST)
        copies = min(len(partition.replicas) for partition in partitions.values())
        found.append(ListedTopic(name, len(partitions), copies, records))
    return found


def _offsets(admin: Administrator, topic: str, partitions: Iterable[int], spec: OffsetSpec) -> int:
    """Return the sum of the partitions' first offsets, or of their ends."""
    asked = {TopicPartition(topic, partition): spec for partition in partitions}
    try:
        return sum(
            int(each.result().offset) for each in admin.list_offsets(asked, request_timeout=TIMEOUT_SECONDS).values()
        )
    except KafkaException as failure:
        raise RefusedError(f"topic {topic} cannot be read: {reason(failure)}") from None


def check_topics(
    client_config: Mapping[str, Any], topics: Topics, wanted: int | None = None, *, recommends: bool = False
) -> int:
    """Return the number of partitions that all topics but that of items have.

    Raises UnavailableError if Kafka does not answer, RefusedError if a topic does not exist or the numbers differ:
    from each other, or from the number that somebody has set, `wanted`. The topic of recommendations has to exist only
    where something `recommends`.
    """
    counts = _partition_counts(open_admin(client_config), client_config, topics)
    for name in _co_partitioned(topics):
        if name not in counts and (recommends or name != topics.recommendations):
            raise RefusedError(f"topic {name} does not exist at {where(client_config)}: {CREATE}")
    expected = counts[topics.events]
    _refuse_disagreement(counts)
    if wanted is not None:
        _refuse_other_counts(counts, wanted)
    return expected


def check_unchanged(client_config: Mapping[str, Any], topics: Topics, partitions: int) -> None:
    """Check that all topics still have so many partitions; one that is gone is for others to notice.

    Raises UnavailableError if Kafka does not answer, RefusedError if they have not.
    """
    counts = _partition_counts(open_admin(client_config), client_config, topics)
    _refuse_disagreement(counts)
    if counts and (now := max(counts.values())) != partitions:
        raise RefusedError(
            f"the topics of {topics.prefix} have {now} partitions, and had {partitions} when this worker began: "
            "start every worker again"
        )


def _refuse_disagreement(counts: Mapping[str, int]) -> None:
    most = max(counts.values(), default=0)
    behind = {name: count for name, count in counts.items() if count < most}
    if behind:
        ahead = next(name for name, count in counts.items() if count == most)
        others = ", ".join(f"{name} {count}" for name, count in behind.items())
        raise RefusedError(
            f"topic {ahead} has {most} partitions, but {others}: {GROW} {most}`, "
            "which grows the others and deletes nothing, then start every worker again (shoppers who are in another "
            "partition now begin anew)"
        )


def grow_topics(client_config: Mapping[str, Any], topics: Topics, partitions: int) -> dict[str, int]:
    """Give every topic that exists so many partitions, if it has fewer; return what those had, by name.

    All or none: the brokers judge everything first. The events topic comes last, so that no event is in a partition
    that has no counterpart. Raises RefusedError if Kafka refuses, or if a topic has more.
    """
    admin = open_admin(client_config)
    present = smaller_topics(client_config, topics, partitions)
    last = sorted(present, key=lambda name: name == topics.events)
    for validate_only in (True, False):
        for name in last:  # one after the other: the order counts
            asked = admin.create_partitions(
                [NewPartitions(name, partitions)], operation_timeout=TIMEOUT_SECONDS, validate_only=validate_only
            )
            try:
                asked[name].result()
            except KafkaException as failure:
                raise RefusedError(f"Kafka does not add partitions to topic {name}: {reason(failure)}") from None
    _wait_until(lambda: not smaller_topics(client_config, topics, partitions), "grown", topics)
    return present


def smaller_topics(client_config: Mapping[str, Any], topics: Topics, partitions: int) -> dict[str, int]:
    """Return the topics that have fewer partitions, and how many; raises RefusedError if one has more."""
    present = _partition_counts(open_admin(client_config), client_config, topics)
    _refuse_other_counts({name: count for name, count in present.items() if count > partitions}, partitions)
    return {name: count for name, count in present.items() if count < partitions}


def staying_share(before: int, after: int) -> float:
    """Return the share of the keys that stay in their partition: those with the same remainder by both numbers."""
    return before / math.lcm(before, after)


def count_brokers(client_config: Mapping[str, Any]) -> int:
    """Return how many brokers the cluster has; raises RefusedError unless each answers at the address that it names."""
    brokers = metadata(open_admin(client_config), client_config).brokers.values()
    for broker in brokers:
        try:
            socket.create_connection((broker.host, broker.port), _CONNECT_SECONDS).close()
        except OSError as failure:
            raise RefusedError(
                f"{where(client_config)} answers, and says that broker {broker.id} is at {broker.host}:{broker.port}, "
                f"where this machine reaches nothing ({failure.strerror or failure}): correct the broker's "
                "advertised.listeners, or the network"
            ) from None
    return len(brokers)


def unused_prefix(client_config: Mapping[str, Any], prefix: str) -> str:
    """Return `prefix` if no topic of a pipeline with it exists, else the first of `prefix-2`, `prefix-3` ... like that.

    Raises RefusedError if Kafka does not answer.
    """
    admin = open_admin(client_config)
    for candidate in itertools.chain([prefix], (f"{prefix}-{number}" for number in itertools.count(2))):
        if not _partition_counts(admin, client_config, Topics(prefix=candidate)):
            return candidate
    raise AssertionError("count() does not end")


def _partition_counts(admin: Administrator, client_config: Mapping[str, Any], topics: Topics) -> dict[str, int]:
    """Partitions by name of those topics that exist and whose numbers must agree."""
    listed = metadata(admin, client_config).topics
    return {name: len(listed[name].partitions) for name in _co_partitioned(topics) if name in listed}


def _co_partitioned(topics: Topics) -> list[str]:
    return [name for name in topic_configs(topics) if name != topics.items]


def _create(admin: AdminClient, missing: list[NewTopic], *, validate_only: bool = False) -> list[str]:
    outcomes: dict[str, Future[None]] = admin.create_topics(
        missing, operation_timeout=TIMEOUT_SECONDS, validate_only=validate_only
    )
    return [name for name, outcome in outcomes.items() if _created(name, outcome)]


def _created(name: str, outcome: "Future[None]") -> bool:
    try:
        outcome.result()
    except KafkaException as failure:
        if failure.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another process was quicker
            return False
        is_late = failure.args[0].code() == KafkaError._TIMED_OUT
        look = "; look whether it can be reached (`cartcast doctor`)" if is_late else ""
        raise RefusedError(f"Kafka does not create topic {name}: {reason(failure)}{look}") from None
    return True


def _wait_until_listed(admin: Administrator, client_config: Mapping[str, Any], topics: Topics) -> None:
    """Return when the brokers list what the controller has created, usually a moment later."""
    wanted = topic_configs(topics).keys()
    _wait_until(lambda: wanted <= metadata(admin, client_config).topics.keys(), "created", topics)


def _wait_until(listed: Callable[[], bool], what: str, topics: Topics) -> None:
    deadline = time.monotonic() + APPEAR_SECONDS
    while not listed():
        if time.monotonic() > deadline:
            raise RefusedError(f"the topics of {topics.prefix} were {what} but are not listed: run the command again")
        time.sleep(0.02)
