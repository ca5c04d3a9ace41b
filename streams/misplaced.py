"""Events that lie in another partition than their key leads to: they are scored, and their shoppers are not found."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from service.partitioner import partition_of
from streams.changelog import PartitionReader

MISPLACED: Final = (
    "events lie in another partition than their key leads to: look-ups, log-ins and requests to forget do not find "
    "their shoppers; producers must partition as Java clients do (librdkafka: partitioner=murmur2_random)"
)
_NEWEST: Final = 100


def sample(client_config: Mapping[str, Any], topic: str, partitions: int) -> tuple[int, int]:
    """Return how many of the newest events of all partitions are misplaced, and how many were looked at.

    Raises RefusedError if a partition cannot be read.
    """
    looked_at = misplaced = 0
    with closing(PartitionReader(client_config)) as reader:
        for partition in range(partitions):
            low, end = reader.bounds(topic, partition)
            for message in reader.between(topic, partition, max(low, end - _NEWEST), end) if low < end else ():
                looked_at += 1
                misplaced += partition_of(message.key() or b"", partitions) != partition
    return misplaced, looked_at
