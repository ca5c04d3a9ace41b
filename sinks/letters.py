"""Dead letters as rows: the sink's own way of reading, storing and committing, applied to the dead-letter topic.

A letter becomes a record whose value is its row and whose coordinates are its own, which only rise; so each is new.
Two letters about one refused record (a worker that was cut off may repeat one) are one row by the table's key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from confluent_kafka import Message

from service.clickhouse import insert
from service.clickhouse_settings import ClickHouseSettings
from service.kafka import header_text, headers_of
from sinks.blocks import MAX_OFFSET, Headers, Record, Rejected, Row
from sinks.bookmark import MAX_TOPIC_BYTES, Source
from sinks.kafka import records_of
from sinks.partition import BlockLimits
from sinks.table import ClickHouseTable, Key

TABLE: Final = "dead_letters"
LIMITS: Final = BlockLimits(rows=5_000, seconds=1.0, fetch_records=200)
"""Few a fetch: a refused value may be a megabyte, and its bytes live until its row is made."""
NO_COORDINATES: Final = "headers"
"""The reason of a letter that does not say which record it is about."""
NO_REASON: Final = "unknown"
MAX_REASON_CHARACTERS: Final = 64
MAX_ERROR_CHARACTERS: Final = 1_000
MAX_PARTITION: Final = 2**31 - 1
MAX_TIME_MS: Final = 4_102_444_800_000

_encode: Final = msgspec.json.Encoder().encode
log = structlog.get_logger()


class _Row(msgspec.Struct):
    source_topic: str
    source_partition: int
    source_offset: int
    reason: str
    error: str
    value_bytes: int
    dead_at: str
    letter_partition: int
    letter_offset: int


@dataclass(frozen=True, slots=True)
class LetterRecord:
    """A record whose value is a row of the table, in the place of a dead letter."""

    number: int
    place: int
    row: bytes
    coordinates: Headers

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.place

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.row

    def headers(self) -> Headers | None:
        return self.coordinates


def letter_records(messages: Sequence[Message]) -> Sequence[LetterRecord]:
    """Make a letter of each message that is a record; raises what `records_of` raises."""
    return [_letter(message) for message in records_of(messages)]


def judge_letter(record: Record) -> Row:
    """Return a letter's row; its source is its own place, so that every one is new."""
    return Row(record, record.offset())


def _letter(message: Message) -> LetterRecord:
    topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
    headers = headers_of(message)
    reason, error = (
        header_text(headers, "reason")[:MAX_REASON_CHARACTERS],
        header_text(headers, "error")[:MAX_ERROR_CHARACTERS],
    )
    refused = _coordinates(headers)
    if refused is None:
        refused, reason = (topic, partition, offset), NO_COORDINATES
        error = "the dead letter's headers name no topic, partition and offset"
    row = _Row(
        *refused,
        reason=reason or NO_REASON,
        error=error,
        value_bytes=_value_bytes(message, headers),
        dead_at=_seconds(message.timestamp()[1]),
        letter_partition=partition,
        letter_offset=offset,
    )
    own: Headers = [("topic", topic.encode()), ("partition", b"%d" % partition), ("offset", b"%d" % offset)]
    return LetterRecord(partition, offset, _encode(row), own)


def _coordinates(headers: Mapping[str, bytes | None]) -> tuple[str, int, int] | None:
    """Return topic, partition and offset of the refused record; None if the headers do not name one."""
    try:
        topic = (headers["topic"] or b"").decode()
        partition, offset = int(headers["partition"] or b""), int(headers["offset"] or b"")
    except (KeyError, ValueError):  # a UnicodeDecodeError is one
        return None
    fits = 0 < len(topic.encode()) <= MAX_TOPIC_BYTES and 0 <= partition <= MAX_PARTITION and 0 <= offset <= MAX_OFFSET
    return (topic, partition, offset) if fits else None


def _value_bytes(message: Message, headers: Mapping[str, bytes | None]) -> int:
    """Return the size of the refused value, also of one that its letter holds only the beginning of."""
    named = headers.get("bytes") or b""
    return int(named) if named.isdigit() and len(named) < 10 else len(message.value() or b"")


def _seconds(time_ms: int) -> str:
    """Return what ClickHouse reads as a DateTime64(3): seconds with decimals (a bare integer would be seconds)."""
    seconds, rest = divmod(min(max(time_ms, 0), MAX_TIME_MS), 1000)
    return f"{seconds}.{rest:03d}"


class DeadLettersTable(ClickHouseTable):
    """The table `dead_letters`: takes a row again and again, for its key tells that it is one."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        super().__init__(settings, TABLE)

    def insert(self, rows: Sequence[bytes], token: str) -> None:  # noqa: ARG002 - the key does what a token would
        settings = {"async_insert": 0, "insert_deduplicate": 0}
        insert(
            self._connected(),
            self._settings,
            self._name,
            rows,
            query_settings=settings,
            column_types=self._column_types,
        )

    @property
    def shows_at_once(self) -> bool:
        return False

    def stored(self, source: Source, keys: Sequence[Key]) -> set[Key]:  # noqa: ARG002
        """Return nothing: rows are known by what was refused, not by letters, and may come again."""
        return set()

    def highest(self, source: Source) -> int:  # noqa: ARG002
        return -1


class Unstorable:
    """Where a letter goes whose row the table refuses: into the log. A dead letter about it would come here again."""

    def send(self, rejected: Sequence[Rejected], partition: int) -> None:
        for each in rejected:
            record: Record = each.record
            log.error("a dead letter is no row", partition=partition, offset=record.offset(), error=each.error)
