"""How the pipeline's topics are set up, and where topics that exist are set up otherwise."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from service.errors import RefusedError
from service.kafka import TIMEOUT_SECONDS, metadata, open_admin, reason
from service.kafka_settings import Topics

REPLICATION: Final = "replication factor"


@dataclass(frozen=True, slots=True)
class Keeping:
    """How records are kept; None leaves a matter to the brokers."""

    min_insync_replicas: int | None = None
    """Copies that must have a record before it counts as written."""
    retention_hours: int | None = None
    """Hours that events, scores and dead letters are kept; -1 for ever."""


BROKERS_OWN: Final = Keeping()


def topic_configs(topics: Topics, keeping: Keeping = BROKERS_OWN) -> dict[str, dict[str, str]]:
    """Return what each topic needs beyond the broker's defaults, by topic name.

    Scores carry the broker's time of arrival, so that anybody can measure the delay from event to score with the
    times of the records alone. States are kept by key, whatever their age.
    """
    every, streams = {}, {}
    if keeping.min_insync_replicas is not None:
        every = {"min.insync.replicas": str(keeping.min_insync_replicas)}
    if keeping.retention_hours is not None:
        streams = {"retention.ms": str(_milliseconds(keeping.retention_hours))}
    return {
        topics.events: {**every, **streams},
        topics.scores: {**every, **streams, "message.timestamp.type": "LogAppendTime"},
        topics.dead_letters: {**every, **streams},
        topics.changelog: {**every, "cleanup.policy": "compact"},
    }


def _milliseconds(hours: int) -> int:
    return hours if hours < 0 else hours * 3_600_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that exists is set up otherwise than the settings say."""

    topic: str
    config: str
    found: str
    wanted: str

    def as_line(self) -> str:
        """Say it, and how to change it where Kafka lets one."""
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
    keeping: Keeping = BROKERS_OWN,
    new: Collection[str] = (),
) -> list[Difference]:
    """Return where topics that exist are set up otherwise, but for the `new` ones.

    Raises RefusedError if Kafka does not say.
    """
    admin = open_admin(client_config)
    listed = metadata(admin, client_config).topics
    configs = topic_configs(topics, keeping)
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
