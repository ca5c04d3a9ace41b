"""What has already been published, read back from the output topics' ends.

Between the publication of scores and the commit of their source offsets lies a gap into which a crash can fall; the
events in it are read again. Within one partition scores are published in source order, so the last score's source
offset says how far the predecessor came: up to there nothing is published again. (If the predecessor still lives and
publishes after this look, there are repeats; the sink drops them, as they are equal and carry their coordinates.)
"""

from dataclasses import dataclass

from confluent_kafka import Message

from streams.changelog import PartitionReader
from streams.settings import Topics


@dataclass(frozen=True, slots=True)
class Published:
    """Source offsets of one partition whose results are on the output topics."""

    last_score: int = -1
    dead_letters: frozenset[int] = frozenset()


def published_positions(reader: PartitionReader, topics: Topics, partition: int) -> Published:
    """Read the ends of the scores and dead-letter topics for one source partition."""
    scores = _source_offsets(reader.tail(topics.scores, partition), topics.events, partition)
    dead_letters = _source_offsets(reader.tail(topics.dead_letters, partition), topics.events, partition)
    return Published(max(scores, default=-1), frozenset(dead_letters))


def _source_offsets(messages: list[Message], topic: str, partition: int) -> list[int]:
    wanted = (topic.encode(), str(partition).encode())
    offsets = []
    for message in messages:
        headers = dict(message.headers() or [])
        if (headers.get("topic"), headers.get("partition")) == wanted:
            offsets.append(int(headers["offset"] or -1))
    return offsets
