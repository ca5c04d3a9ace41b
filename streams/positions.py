"""What has already been published, read back from the output topics' ends.

Between the publication of scores and the commit of their source offsets lies a gap into which a crash can fall; the
events in it are read again. Within one partition scores are published in source order, so the last score's source
offset says how far the predecessor came: up to there nothing is published again. (If the predecessor still lives and
publishes after this look, there are repeats; the sink drops them, as they are equal and carry their coordinates.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from confluent_kafka import Message

from model.events import INPUT_FORMATS
from model.formats.records import decoder_of
from service.errors import RefusedError
from service.kafka_settings import Topics
from streams.changelog import PartitionReader


@dataclass(frozen=True, slots=True)
class Published:
    """Source offsets of one partition whose results are on the output topics."""

    last_score: int = -1
    dead_letters: frozenset[int] = frozenset()


class _EventId(msgspec.Struct):
    event_id: str


def published_positions(reader: PartitionReader, topics: Topics, partition: int) -> Published:
    """Read the ends of the scores and dead-letter topics for one source partition.

    Raises RefusedError if what lies there was made from an earlier events topic of the same name: its offsets mean
    nothing in this one, neither here nor for the sink.
    """
    scores = _by_source_offset(reader.tail(topics.scores, partition), topics.events, partition)
    dead_letters = _by_source_offset(reader.tail(topics.dead_letters, partition), topics.events, partition)
    for results, made_from in ((scores, _is_score_of), (dead_letters, _is_dead_letter_of)):
        last = max(results, default=-1)
        if last >= 0 and not _is_of_this_topic(reader, topics, results[last], last, made_from):
            raise RefusedError(
                f"topic {topics.events} was created again, but {topics.scores} and {topics.dead_letters} hold results "
                f"of the earlier one: delete these two and {topics.changelog} as well and "
                "run `cartcast topics create`, or use another CARTCAST_KAFKA__TOPIC_PREFIX"
            )
    return Published(max(scores, default=-1), frozenset(dead_letters))


def _is_of_this_topic(
    reader: PartitionReader,
    topics: Topics,
    result: Message,
    offset: int,
    made_from: Callable[[Message, Message], bool],
) -> bool:
    """Tell whether a result's source record is still the one that it was made from, or has left by retention."""
    partition = result.partition() or 0
    if offset >= reader.end_offset(topics.events, partition):
        return False
    source = reader.record_at(topics.events, partition, offset)
    return source is None or made_from(source, result)


def _by_source_offset(messages: list[Message], topic: str, partition: int) -> dict[int, Message]:
    wanted = (topic.encode(), str(partition).encode())
    found = {}
    for message in messages:
        headers = dict(message.headers() or [])
        if (headers.get("topic"), headers.get("partition")) == wanted:
            found[int(headers["offset"] or -1)] = message
    return found


def _is_score_of(source: Message, score: Message) -> bool:
    """Tell whether a score is that of a source record, in whatever format a predecessor was told to read it."""
    scored = [msgspec.json.decode(score.value() or b"{}", type=_EventId).event_id]
    batches = (decoder_of(input_format)([source.value()], None)[0] for input_format in INPUT_FORMATS)
    return any(batch.event_ids == scored for batch in batches)


def _is_dead_letter_of(source: Message, dead_letter: Message) -> bool:
    return (source.key(), source.value()) == (dead_letter.key(), dead_letter.value())
