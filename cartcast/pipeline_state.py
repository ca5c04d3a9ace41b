"""Who reads what, and how far: the consumer groups of a pipeline as Kafka tells of them, and the age of the table."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription  # type: ignore[attr-defined]
from confluent_kafka.admin._listoffsets import OffsetSpec

from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
from service.kafka import TIMEOUT_SECONDS, reason, silent
from service.kafka_settings import Topics
from sinks.kafka import CLIENT_ID as SINK_CLIENT_ID
from sinks.observe.lag import LagSampler, PartitionLag

WORKER_CLIENT_ID: Final = "faust-"
"""What the client ids of workers begin with."""
STABLE: Final = "stable"
"""The state of a group whose members have what they were given; in others partitions are on their way."""
_PAUSE_SECONDS: Final = 0.2
_FIRST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Reader:
    """One of the groups of a pipeline."""

    name: str
    """Such as `workers`."""
    command: str
    """What to run if nobody is there."""
    group: str
    topic: str
    client_id: str
    """What the client ids of its own members begin with."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far a group is in one partition."""

    partition: int
    owner: str
    """Member that has it, as `instance or client id @ host`; empty if nobody has."""
    committed: int
    """-1 if the group has committed nothing there."""
    end_offset: int
    lag: int
    deleted: int
    """Records that were deleted before the group had read them: those from its position to the first that is left."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group and its partitions."""

    reader: Reader
    state: str
    """Kafka's word, such as `stable` or `empty`."""
    members: int
    strangers: tuple[str, ...]
    """Members that are no part of Cartcast."""
    partitions: tuple[PartitionState, ...]

    @property
    def lag(self) -> int:
        """Records that were not read yet."""
        return sum(each.lag for each in self.partitions)

    @property
    def deleted(self) -> int:
        """Records that were deleted unread."""
        return sum(each.deleted for each in self.partitions)

    @property
    def began(self) -> bool:
        """Whether the group has ever committed."""
        return any(each.committed >= 0 for each in self.partitions)

    def as_line(self) -> str:
        """Return members, owners and lag in one line."""
        if not self.members:
            return (
                f"nobody runs; {self.lag} records wait" if self.began or self.lag else "nobody runs yet; nothing waits"
            )
        owners: dict[str, list[int]] = {}
        for each in self.partitions:
            owners.setdefault(each.owner or "nobody", []).append(each.partition)
        has = "; ".join(f"{owner} has {_ranges(numbers)}" for owner, numbers in owners.items())
        return f"{self.state}, {has}; {self.lag} records wait"

    def problems(self) -> list[str]:
        """Return what is wrong, each with what to do."""
        found = []
        if not self.members and (self.began or self.lag):
            found.append(f"nobody runs, and {self.lag} records wait: run `{self.reader.command}`")
        if self.strangers:
            found.append(
                f"{', '.join(self.strangers)} in group {self.reader.group} is no part of Cartcast and takes records "
                f"from those that are: stop it, or give it a group of its own"
            )
        if self.state == STABLE and (orphans := [each.partition for each in self.partitions if not each.owner]):
            found.append(
                f"nobody has partition {_ranges(orphans)} of {self.reader.topic}: "
                f"start {self.reader.command.removeprefix('cartcast ')}s again, who then take it"
            )
        found += [
            f"{each.deleted} records of {self.reader.topic} partition {each.partition} were deleted unread, offsets "
            f"{max(each.committed, 0)} to {max(each.committed, 0) + each.deleted - 1}: raise kafka.retention_hours"
            for each in self.partitions
            if each.deleted
        ]
        return found


def readers(topics: Topics, *, recommends: bool = False) -> tuple[Reader, ...]:
    """Return the groups of a pipeline, one that `recommends` on the topic or not."""
    prefix, sink, recommendations = topics.prefix, "cartcast sink", f"{topics.prefix}-sink-recommendations"
    return (
        Reader("workers", "cartcast worker", prefix, topics.events, WORKER_CLIENT_ID),
        Reader("sink", sink, f"{prefix}-sink", topics.scores, SINK_CLIENT_ID),
        Reader("letters", sink, f"{prefix}-sink-dead-letters", topics.dead_letters, SINK_CLIENT_ID),
        *([Reader("recommended", sink, recommendations, topics.recommendations, SINK_CLIENT_ID)] if recommends else []),
    )


class PipelineGroups:
    """Asks Kafka, with clients of its own."""

    def __init__(self, client_config: Mapping[str, Any], topics: Topics, *names: str, recommends: bool = False) -> None:
        """`names`: of the readers to ask about; all if none is given. The pipeline `recommends` on the topic or not."""
        everybody = readers(topics, recommends=recommends)
        self._readers = [each for each in everybody if not names or each.name in names]
        self._admin = AdminClient(silent(client_config))
        self._lag = LagSampler(client_config, {each.group: each.topic for each in self._readers})

    def read(self) -> list[GroupState]:
        """Return the state of every group; raises UnavailableError if Kafka does not tell within some seconds.

        It does not while a group's coordinator moves, nor at once where nobody has asked for a group before.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                return self._read()
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _read(self) -> list[GroupState]:
        lags = self._lag.sample()
        try:
            described = self._admin.describe_consumer_groups(
                [each.group for each in self._readers], request_timeout=TIMEOUT_SECONDS
            )
            groups = {group: answer.result() for group, answer in described.items()}
            partitions = [TopicPartition(each.topic, each.partition) for each in lags]
            asked = self._admin.list_offsets(dict.fromkeys(partitions, _FIRST), request_timeout=TIMEOUT_SECONDS)
            first = {(at.topic, at.partition): int(answer.result().offset) for at, answer in asked.items()}
        except KafkaException as failure:
            raise UnavailableError(f"Kafka does not tell of its consumer groups ({reason(failure)})") from None
        return [
            group_state(each, groups[each.group], [lag for lag in lags if lag.consumer_group == each.group], first)
            for each in self._readers
        ]

    def close(self) -> None:
        """Give connections back."""
        self._lag.close()


def group_state(
    reader: Reader,
    described: ConsumerGroupDescription,
    lags: list[PartitionLag],
    first: Mapping[tuple[str, int], int],
) -> GroupState:
    """Return what Kafka's answers mean; `first` has the first offset that is left of each topic and partition."""
    owners, strangers = {}, []
    began = any(lag.committed >= 0 for lag in lags)
    for member in described.members:
        name = f"{member.group_instance_id or member.client_id} @ {member.host.lstrip('/')}"
        if not member.client_id.startswith(reader.client_id):
            strangers.append(name)
        for at in (member.assignment.topic_partitions or ()) if member.assignment else ():
            if at.topic == reader.topic:
                owners[at.partition] = name
    return GroupState(
        reader,
        described.state.name.lower().replace("_", " "),
        len(described.members),
        tuple(strangers),
        tuple(
            PartitionState(
                lag.partition,
                owners.get(lag.partition, ""),
                lag.committed,
                lag.end_offset,
                lag.lag,
                max(first[lag.topic, lag.partition] - max(lag.committed, 0), 0) if began else 0,
            )
            for lag in lags
        ),
    )


def table_age_seconds(settings: ClickHouseSettings) -> float | None:
    """Return how long ago the newest row was stored; None if there is none. Raises CartcastError."""
    from service.clickhouse import connected  # noqa: PLC0415 - a worker's image has no client of ClickHouse

    with connected(settings, database=settings.database) as client:
        newest = client.query("SELECT count(), dateDiff('ms', max(stored_at), now64(3)) FROM scores").result_rows[0]
    return newest[1] / 1000 if newest[0] else None


def _ranges(numbers: list[int]) -> str:
    """Return `0-3, 7` for 0, 1, 2, 3, 7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
