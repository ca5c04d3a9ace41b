"""What has already been published, read back from the output topics' ends.

Between the publication of results and the commit of their source offsets lies a gap into which a crash can fall; the
events in it are read again. Within one partition scores are published in source order, and so are dead letters and
recommendations: the source offset of the last one says how far the predecessor came, and up to there nothing is
published again. (If the predecessor still lives and publishes after this look, there are repeats; the sink drops them,
as they are of the same events and carry their coordinates.)

Others may have written to these topics, and a forged record must not make a worker leave out events. So a result is
believed if the record that it says it was made from is there and is that record. What it was made from may also have
left by retention: all that such an offset can do is to say too little, which repeats results and loses none.

The dead-letter topic also holds letters about scores and about rows of files, so that the last letter about a record
of the events topic may lie far from the end: it is read backwards until there is one, or to its beginning.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import structlog
from confluent_kafka import Message

from model.events import INPUT_FORMATS
from model.formats.records import decoder_of
from service.errors import RefusedError
from service.kafka import Headers, cut_dead_letter, header_text, headers_of
from service.kafka_settings import Topics
from service.signatures import NO_SIGNATURES, SIGNATURE, Signatures
from streams.changelog import PartitionReader
from streams.messages import UNPACKED, WITHOUT_CONTENT

_MOST_DOUBTED: Final = 100
"""So many records that name other source records than they were made from end the look: each costs a read."""
_MOST_DIGITS: Final = len(str(2**63 - 1))
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """The last source offset of one partition that each output topic has a result of; -1 if there is none."""

    last_score: int = -1
    last_dead_letter: int = -1
    last_recommendation: int = -1


@dataclass(frozen=True, slots=True)
class _Result:
    """What says by itself that it is a result, and the offset of the record that it was made from."""

    offset: int
    message: Message


@dataclass(slots=True)
class _Found:
    """What the end of one output topic says."""

    last: int = -1
    is_proven: bool = False
    """Whether the source record of `last` is still there."""
    doubted: int = 0
    """Results that name a source record from which they were not made."""
    foreign: int = 0
    """Records of no source, or beyond its end, or doubted."""
    foreign_offset: int = -1

    def leave_out(self, message: Message) -> None:
        self.foreign += 1
        self.foreign_offset = max(message.offset() or 0, self.foreign_offset)


class _OfEvent(msgspec.Struct):
    event_id: str
    user_id: str
    source_topic: str
    source_partition: int
    source_offset: int


def published_positions(  # noqa: PLR0913 - what it reads, and what it believes
    reader: PartitionReader,
    topics: Topics,
    partition: int,
    is_known: bool | None = None,
    signatures: Signatures = NO_SIGNATURES,
    *,
    recommends: bool = False,
) -> Published:
    """Read the ends of the scores and dead-letter topics for one source partition, with `recommends` of that as well.

    `is_known` tells whether a state of the partition has seen this events topic; None if there are no states. If none
    of them has, results that are not of its records are those of an earlier topic of that name, whose offsets mean
    nothing in this one, neither here nor for the sink: raises RefusedError. Else others wrote them, and they are
    ignored with a warning.
    """
    source = _Source(reader, topics.events, partition)
    of_event = partial(_checked, signatures)
    scores = _last_result(source, topics.scores, of_event, _is_of_event)
    letters = _last_result(source, topics.dead_letters, lambda _: None, _is_dead_letter_of)
    is_proven = scores.is_proven or letters.is_proven
    if not is_proven and (
        (is_known is False and scores.foreign + letters.foreign) or (is_known is None and scores.doubted)
    ):
        raise RefusedError(
            f"topic {topics.events} was created again, but {topics.scores} and {topics.dead_letters} hold results of "
            f"the earlier one: delete these two, {topics.recommendations}, {topics.identity} and {topics.changelog} as "
            f"well, and the groups {topics.prefix} and {topics.prefix}-sink with their offsets, and run "
            "`cartcast topics create`, or use another CARTCAST_KAFKA__TOPIC_PREFIX"
        )
    recommended = _last_result(source, topics.recommendations, of_event, _is_of_event) if recommends else _Found()
    for topic, found in (
        (topics.scores, scores),
        (topics.dead_letters, letters),
        (topics.recommendations, recommended),
    ):
        if found.foreign:
            _log.warning(
                "ignored records that are no results",
                topic=topic,
                partition=partition,
                offset=found.foreign_offset,
                count=found.foreign,
            )
    return Published(scores.last, letters.last, recommended.last)


class _Source:
    """A partition of the events topic, from which results say that they were made."""

    def __init__(self, reader: PartitionReader, topic: str, partition: int) -> None:
        self.reader = reader
        self.partition = partition
        self._topic = topic
        self._name = topic.encode(), b"%d" % partition

    def offset_of(self, result: Message) -> int | None:
        """Return the offset that a result's headers name, None if it is of another source; raises ValueError."""
        headers = headers_of(result)
        topic, partition, offset = (headers.get(name) for name in ("topic", "partition", "offset"))
        if topic is None or partition is None or offset is None or not offset.isdigit() or len(offset) > _MOST_DIGITS:
            raise ValueError
        return int(offset) if (topic, partition) == self._name else None

    def bounds(self) -> tuple[int, int]:
        return self.reader.bounds(self._topic, self.partition)

    def record(self, offset: int) -> Message | None:
        return self.reader.record_at(self._topic, self.partition, offset)


def _last_result(
    source: _Source,
    topic: str,
    check: Callable[[Message], int | None],
    is_made_from: Callable[[_Source, _Result], bool],
) -> _Found:
    """Return what is known of the result with the highest source offset that can be believed.

    `check` returns the offset that a result's value names, if it names one, and raises an exception of decoding if the
    record is no result.
    """
    found = _Found()
    for stretch in source.reader.backwards(topic, source.partition):
        results = list(_results(source, stretch, check, found))
        low, end = source.bounds()  # after the results: what they were made from is there by now
        for result in sorted(results, key=lambda result: result.offset, reverse=True):
            if result.offset < low or (result.offset < end and is_made_from(source, result)):
                found.last, found.is_proven = result.offset, result.offset >= low
                return found
            found.leave_out(result.message)
            found.doubted += result.offset < end
            if found.doubted >= _MOST_DOUBTED:
                return found
    return found


def _results(
    source: _Source, messages: Iterable[Message], check: Callable[[Message], int | None], found: _Found
) -> Iterator[_Result]:
    """Yield what says by itself that it is a result of this source; others are ignored, or left out in `found`."""
    for message in messages:
        try:
            if (offset := source.offset_of(message)) is None:
                continue
            if check(message) not in {None, offset}:
                raise ValueError
        except (ValueError, msgspec.MsgspecError, RecursionError):
            found.leave_out(message)
        else:
            yield _Result(offset, message)


def _checked(signatures: Signatures, result: Message) -> int:
    """Return the source offset that a result's value names; raises ValueError if it is unsigned or not of the key."""
    event = _event_of(result)
    is_signed = signatures.accept(result.value() or b"", headers_of(result).get(SIGNATURE))
    if result.key() != event.user_id.encode() or not is_signed:
        raise ValueError
    return event.source_offset


def _event_of(result: Message) -> _OfEvent:
    """Return what a score or recommendation says of its event; raises MsgspecError if the value is neither."""
    return msgspec.json.decode(result.value() or b"", type=_OfEvent)


def _is_of_event(source: _Source, result: _Result) -> bool:
    """Return whether a result is that of its source record, in whatever format a predecessor was set to read it."""
    if (record := source.record(result.offset)) is None:
        return False
    event = _event_of(result.message)
    batches = (decoder_of(input_format)([record.value()], None)[0] for input_format in INPUT_FORMATS)
    return any((batch.event_ids, batch.user_ids) == ([event.event_id], [event.user_id]) for batch in batches)


def _is_dead_letter_of(source: _Source, letter: _Result) -> bool:
    headers, cut = headers_of(letter.message), Headers()
    if header_text(headers, "reason") == UNPACKED:
        return True  # who reads its source unpacks it
    if (record := source.record(letter.offset)) is None:
        return False
    if header_text(headers, "reason") in WITHOUT_CONTENT:
        return letter.message.key() is None and letter.message.value() is None
    key, value = record.key(), record.value()
    if "sha256" in headers:
        key, value, cut = cut_dead_letter(key, value, cut)
    is_whole = all(headers.get(name) == text for name, text in cut)
    return is_whole and (key, value) == (letter.message.key(), letter.message.value())
