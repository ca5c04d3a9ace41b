"""What has already been published, read back from the output topics' ends.

Between the publication of results and the commit of their source offsets lies a gap into which a crash can fall; the
events in it are read again. Within one partition scores are published in source order, and so are dead letters: the
source offset of the last one says how far the predecessor came, and up to there nothing is published again. (If the
predecessor still lives and publishes after this look, there are repeats; the sink drops them, as they are equal and
carry their coordinates.)

The dead-letter topic also holds letters about scores and about rows of files, so that the last letter about a record
of the events topic may lie far from the end: it is read backwards until there is one, or to its beginning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from confluent_kafka import Message

from model.events import INPUT_FORMATS
from model.formats.records import decoder_of
from service.errors import RefusedError
from service.kafka import Headers, cut_dead_letter, header_text, headers_of
from service.kafka_settings import Topics
from streams.changelog import PartitionReader
from streams.messages import UNPACKED

_MAX_OFFSET: Final = 2**63 - 1
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """The last source offsets of one partition whose results are on the output topics; -1 if there is none."""

    last_score: int = -1
    last_dead_letter: int = -1


@dataclass(frozen=True, slots=True)
class _Result:
    """A score or a dead letter, and the offset of the record that it was made from."""

    offset: int
    message: Message


class _EventId(msgspec.Struct):
    event_id: str


def published_positions(reader: PartitionReader, topics: Topics, partition: int) -> Published:
    """Read the ends of the scores and dead-letter topics for one source partition.

    Raises RefusedError if what lies there was made from an earlier events topic of the same name: its offsets mean
    nothing in this one, neither here nor for the sink.
    """
    score = _last_result(reader, topics.scores, topics.events, partition, _event_id)
    dead_letter = _last_result(reader, topics.dead_letters, topics.events, partition)
    for result, made_from in ((score, _is_score_of), (dead_letter, _is_dead_letter_of)):
        if result is not None and not _is_of_this_topic(reader, topics.events, result, made_from):
            raise RefusedError(
                f"topic {topics.events} was created again, but {topics.scores} and {topics.dead_letters} hold results "
                f"of the earlier one: delete these two and {topics.changelog} as well and "
                "run `cartcast topics create`, or use another CARTCAST_KAFKA__TOPIC_PREFIX"
            )
    return Published(*(-1 if result is None else result.offset for result in (score, dead_letter)))


def _last_result(
    reader: PartitionReader,
    topic: str,
    source_topic: str,
    partition: int,
    check_value: Callable[[Message], object] = lambda _: None,
) -> _Result | None:
    """Return the result of the highest source offset, None if the partition holds none of this source.

    Records that others wrote, whose headers name no source or whose value `check_value` refuses with an exception, are
    ignored with one warning.
    """
    last, foreign, foreign_offset = None, 0, -1
    for stretch in reader.backwards(topic, partition):
        for message in stretch:
            try:
                source, offset = _source_of(message)
                if source != (source_topic.encode(), b"%d" % partition):
                    continue
                check_value(message)
            except (ValueError, msgspec.MsgspecError, RecursionError):
                foreign, foreign_offset = foreign + 1, max(message.offset() or 0, foreign_offset)
                continue
            if last is None or offset >= last.offset:
                last = _Result(offset, message)
        if last is not None:
            break
    if foreign:
        _log.warning(
            "ignored records that are no results",
            topic=topic,
            partition=partition,
            offset=foreign_offset,
            count=foreign,
        )
    return last


def _source_of(message: Message) -> tuple[tuple[bytes, bytes], int]:
    """Return topic and partition, and the offset, that the headers name; raises ValueError if they name none."""
    headers = headers_of(message)
    topic, partition, offset = (headers.get(name) for name in ("topic", "partition", "offset"))
    if topic is None or partition is None or offset is None or not offset.isdigit() or int(offset) > _MAX_OFFSET:
        raise ValueError
    return (topic, partition), int(offset)


def _is_of_this_topic(
    reader: PartitionReader, topic: str, result: _Result, made_from: Callable[[Message, Message], bool]
) -> bool:
    """Return whether a result's source record is still the one that it was made from, or has left by retention."""
    partition = result.message.partition() or 0
    if result.offset >= reader.end_offset(topic, partition):
        return False
    if header_text(headers_of(result.message), "reason") == UNPACKED:
        return True  # who reads its source unpacks it
    source = reader.record_at(topic, partition, result.offset)
    return source is None or made_from(source, result.message)


def _event_id(score: Message) -> str:
    """Return the event's id; raises MsgspecError if the value is no score."""
    return msgspec.json.decode(score.value() or b"", type=_EventId).event_id


def _is_score_of(source: Message, score: Message) -> bool:
    """Return whether a score is that of a source record, in whatever format a predecessor was set to read it."""
    scored = [_event_id(score)]
    batches = (decoder_of(input_format)([source.value()], None)[0] for input_format in INPUT_FORMATS)
    return any(batch.event_ids == scored for batch in batches)


def _is_dead_letter_of(source: Message, dead_letter: Message) -> bool:
    headers, key, value, cut = headers_of(dead_letter), source.key(), source.value(), Headers()
    if "sha256" in headers:
        key, value, cut = cut_dead_letter(key, value, cut)
    is_whole = all(headers.get(name) == text for name, text in cut)
    return is_whole and (key, value) == (dead_letter.key(), dead_letter.value())
