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
POLICY: Final = "cleanup.policy"
"""Another one loses records without a word: states that are older than a week, or a shopper's events but the last."""
_IDENTITY_HOURS: Final = 7 * 24
"""What workers tell each other of shoppers is read within a second, or when they are back after an outage."""


@dataclass(frozen=True, slots=True)
class TopicRetention:
    """How records are kept; where a field is None, the broker's default applies."""

    min_insync_replicas: int | None = None
    """Copies that must have a record before it counts as written."""
    retention_hours: int | None = None
    """Hours that events, scores, dead letters, recommendations and requests to forget are kept; -1 for ever."""


BROKER_DEFAULTS: Final = TopicRetention()
_DAY_MS: Final = 86_400_000
_COMPACTED_DAILY: Final = {"max.compaction.lag.ms": str(_DAY_MS), "delete.retention.ms": str(3_600_000)}
"""A tombstone, which names a shopper, is on the brokers' disks for a day until the first compaction, an hour, another
day until the next, and what the cleaner takes to come round. In a partition where no shopper does anything nothing is
compacted."""
_NO_LIMIT_MS: Final = 2**62


def topic_configs(topics: Topics, retention: TopicRetention = BROKER_DEFAULTS) -> dict[str, dict[str, str]]:
    """Return what each topic needs beyond the broker's defaults, by topic name.

    Scores and recommendations carry the broker's time of arrival, so that anybody can measure the delay from the event
    with the times of the records alone. States and items are kept by key, whatever their age; what workers tell each
    other of shoppers for a week; requests to forget as long as the events that they are about.
    """
    every, streams = {}, {POLICY: "delete"}
    if retention.min_insync_replicas is not None:
        every = {"min.insync.replicas": str(retention.min_insync_replicas)}
    if retention.retention_hours is not None:
        streams["retention.ms"] = str(_milliseconds(retention.retention_hours))
    return {
        topics.events: {**every, **streams},
        topics.scores: {**every, **streams, "message.timestamp.type": "LogAppendTime"},
        topics.dead_letters: {**every, **streams},
        topics.recommendations: {**every, **streams, "message.timestamp.type": "LogAppendTime"},
        topics.forget: {**every, **streams},
        topics.changelog: {**every, POLICY: "compact", **_COMPACTED_DAILY},
        topics.identity: {**every, POLICY: "delete", "retention.ms": str(_milliseconds(_IDENTITY_HOURS))},
        topics.items: {**every, POLICY: "compact"},
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


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a topic keeps what is written to it, or what a tombstone follows; milliseconds, None without a limit."""

    topic: str
    milliseconds: int | None
    config: str
    """The setting of the topic that says so."""


def lifetimes(client_config: Mapping[str, Any], topics: Topics) -> list[Lifetime]:
    """Return how long each topic that holds shoppers' ids keeps them; raises RefusedError if Kafka does not say."""
    admin = open_admin(client_config)
    listed = metadata(admin, client_config).topics
    names = [topics.events, topics.scores, topics.recommendations, topics.dead_letters]
    names += [topics.identity, topics.changelog]
    found = _described(admin, [name for name in names if name in listed])
    return [_lifetime(name, config) for name, config in found.items()]


def lifetime_ms(client_config: Mapping[str, Any], topic: str) -> int | None:
    """Return how long a topic keeps a record; None if for ever, or if Kafka does not let this client know."""
    try:
        return _lifetime(topic, _described(open_admin(client_config), [topic])[topic]).milliseconds
    except RefusedError:
        return None


def _lifetime(topic: str, config: Mapping[str, Any]) -> Lifetime:
    """Return a topic's lifetime; segments are deleted or compacted once they are closed, which takes a while more."""
    if "compact" not in config[POLICY].value:
        retention = int(config["retention.ms"].value)
        segment = min(int(config["segment.ms"].value), max(retention, 0))
        return Lifetime(topic, None if retention < 0 else retention + segment, "retention.ms, segment.ms")
    lag, kept = int(config["max.compaction.lag.ms"].value), int(config["delete.retention.ms"].value)
    is_limited = lag < _NO_LIMIT_MS
    return Lifetime(topic, 3 * lag + kept if is_limited else None, "max.compaction.lag.ms, delete.retention.ms")


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
