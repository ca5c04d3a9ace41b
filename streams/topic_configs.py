"""The configuration of the pipeline's topics, and where existing topics differ from it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from service.errors import RefusedError
from service.kafka import TIMEOUT_SECONDS, metadata, open_admin, reason
from service.kafka_settings import Topics

REPLICATION: Final = "replication factor"
_IDENTITY_HOURS: Final = 7 * 24
"""What workers tell each other of shoppers is read within a second, or when they are back after an outage."""


@dataclass(frozen=True, slots=True)
class TopicRetention:
    """How records are kept; where a field is None, the broker's default applies."""

    min_insync_replicas: int | None = None
    """Copies that must have a record before it counts as written."""
    retention_hours: int | None = None
    """Hours that events, scores, dead letters and recommendations are kept; -1 for ever."""


BROKER_DEFAULTS: Final = TopicRetention()


def topic_configs(topics: Topics, retention: TopicRetention = BROKER_DEFAULTS) -> dict[str, dict[str, str]]:
    """Return what each topic needs beyond the broker's defaults, by topic name.

    Scores and recommendations carry the broker's time of arrival, so that anybody can measure the delay from the event
    with the times of the records alone. States and items are kept by key, whatever their age; what workers tell each
    other of shoppers for a week.
    """
    every, streams = {}, {}
    if retention.min_insync_replicas is not None:
        every = {"min.insync.replicas": str(retention.min_insync_replicas)}
    if retention.retention_hours is not None:
        streams = {"retention.ms": str(_milliseconds(retention.retention_hours))}
    return {
        topics.events: {**every, **streams},
        topics.scores: {**every, **streams, "message.timestamp.type": "LogAppendTime"},
        topics.dead_letters: {**every, **streams},
        topics.recommendations: {**every, **streams, "message.timestamp.type": "LogAppendTime"},
        topics.changelog: {**every, "cleanup.policy": "compact"},
        topics.identity: {**every, "cleanup.policy": "delete", "retention.ms": str(_milliseconds(_IDENTITY_HOURS))},
        topics.items: {**every, "cleanup.policy": "compact"},
    }


def partitions_of(topics: Topics, partitions: int) -> dict[str, int]:
    """Return how many partitions each topic is made with, by name.

    Items have one whatever the others have, and it never grows: more would leave an item's records in two partitions,
    of which nobody knows the newer one.
    """
    return {name: 1 if name == topics.items else partitions for name in topic_configs(topics)}


def _milliseconds(hours: int) -> int:
    return hours if hours < 0 else hours * 3_600_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that exists differs from the settings."""

    topic: str
    config: str
    found: str
    wanted: str

    def as_line(self) -> str:
        """Return the difference, and how to remove it where Kafka allows that."""
        remedy = (
            "move its replicas with `kafka-reassign-partitions`"
            if self.config == REPLICATION
            else f"`kafka-configs --alter --topic {self.topic} --add-config {self.config}={self.wanted}`"
        )
        return f"topic {self.topic} has {self.config} {self.found}, the settings say {self.wanted}: {remedy}"


def differing_topics(
    client_config: Mapping[str, Any],
    topics: Topics,
    *,
    replication_factor: int,
    retention: TopicRetention = BROKER_DEFAULTS,
    new: Collection[str] = (),
) -> list[Difference]:
    """Return where existing topics, except the `new` ones, differ from the settings.

    Raises RefusedError if Kafka does not say.
    """
    admin = open_admin(client_config)
    listed = metadata(admin, client_config).topics
    configs = topic_configs(topics, retention)
    found = _described(admin, [name for name in configs if name in listed and name not in new])
    differing = []
    for name, config in found.items():
        replicas = min((len(each.replicas) for each in listed[name].partitions.values()), default=0)
        wanted = {REPLICATION: str(replication_factor), **configs[name]}
        present = {REPLICATION: str(replicas), **{each: config[each].value for each in configs[name]}}
        differing += [
            Difference(name, each, present[each], wanted[each]) for each in wanted if present[each] != wanted[each]
        ]
    return differing


def _described(admin: AdminClient, names: Sequence[str]) -> dict[str, Any]:
    """Return the configuration entries of topics by name."""
    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in names}
    if not resources:
        return {}
    asked = admin.describe_configs(list(resources.values()), request_timeout=TIMEOUT_SECONDS)
    try:
        return {name: asked[resource].result() for name, resource in resources.items()}
    except KafkaException as failure:
        raise RefusedError(f"Kafka does not tell how its topics are configured: {reason(failure)}") from None
