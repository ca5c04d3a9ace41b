"""Consumer lag: how many records each of the pipeline's consumer groups has still to do, partition by partition."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from service.errors import UnavailableError
from service.kafka import reason, silent

TIMEOUT_SECONDS: Final = 5.0
NONE_COMMITTED: Final = -1

_FIRST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_Numbers = dict[tuple[str, int], int]
"""An offset each topic and partition."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One row of the table `consumer_lag`, but for its time."""

    consumer_group: str
    topic: str
    partition: int
    committed: int
    """-1 if the group has committed nothing there."""
    end_offset: int
    lag: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def lag_between(first_offset: int, committed: int, end_offset: int) -> int:
    """Return how many records a group has to do: what was deleted, and what it never began with, is not among them."""
    return max(end_offset - max(committed, first_offset), 0)


class LagSampler:
    """Asks Kafka, with clients of its own; not for several threads at once.

    Committed offsets are asked for by a consumer that never joins its group: the admin client's question brings the
    process down while a group's coordinator moves or loads (librdkafka#5040).
    """

    def __init__(self, client_config: Mapping[str, Any], topics_by_group: Mapping[str, str]) -> None:
        """`topics_by_group` names the topic that each group reads."""
        config = silent(client_config)
        self._admin = AdminClient(config)
        self._topics_by_group = topics_by_group
        self._members = {
            group: Consumer({**config, "group.id": group, "enable.auto.commit": False}) for group in topics_by_group
        }

    def sample(self) -> list[PartitionLag]:
        """Return the lag of every group and partition, of topics that exist; raises UnavailableError."""
        try:
            return self._sample()
        except KafkaException as failure:
            raise UnavailableError(f"Kafka does not tell offsets ({reason(failure)})") from None
        except TimeoutError:
            raise UnavailableError("Kafka does not tell offsets (timed out)") from None

    def close(self) -> None:
        """Give connections back."""
        for member in self._members.values():
            member.close()

    def _sample(self) -> list[PartitionLag]:
        partitions = self._partitions()
        committed = {group: self._committed(group, partitions[topic]) for group, topic in self._topics_by_group.items()}
        everything = [each for some in partitions.values() for each in some]  # after the commits: no lag below zero
        first, end = self._offsets(everything, _FIRST), self._offsets(everything, _END)
        return [
            PartitionLag(
                group,
                topic,
                number,
                done,
                end[topic, number],
                lag_between(first[topic, number], done, end[topic, number]),
            )
            for group, topic in self._topics_by_group.items()
            for (_, number), done in committed[group].items()
        ]

    def _partitions(self) -> dict[str, list[TopicPartition]]:
        listed = self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics  # all: asking for one by name may create it
        return {
            topic: [TopicPartition(topic, number) for number in sorted(listed[topic].partitions)]
            if topic in listed
            else []
            for topic in self._topics_by_group.values()
        }

    def _committed(self, group: str, partitions: Sequence[TopicPartition]) -> _Numbers:
        if not partitions:
            return {}
        member = self._members[group]
        member.poll(0)  # drops what it has to complain of
        answer = member.committed(list(partitions), timeout=TIMEOUT_SECONDS)
        for each in answer:
            if each.error is not None:
                raise KafkaException(each.error)
        return {(each.topic, each.partition): max(each.offset, NONE_COMMITTED) for each in answer}

    def _offsets(self, partitions: Sequence[TopicPartition], which: OffsetSpec) -> _Numbers:
        asked: dict[TopicPartition, Future[Any]] = (
            self._admin.list_offsets(
                dict.fromkeys(partitions, which),
                isolation_level=IsolationLevel.READ_COMMITTED,  # what a transaction still holds back cannot be read
                request_timeout=TIMEOUT_SECONDS,
            )
            if partitions
            else {}
        )
        return {
            (at.topic, at.partition): int(answer.result(2 * TIMEOUT_SECONDS).offset) for at, answer in asked.items()
        }
