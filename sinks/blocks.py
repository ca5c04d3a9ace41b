"""Which rows make a block, so that a crash makes the same block again: pure functions of the records.

Repeats are dropped by their headers alone. Within one scores partition the source offsets of an event partition rise,
except where the worker repeated what it had published before a crash; so a row is new exactly if its source offset is
above the highest one that is stored. A record raises that one only if its value says the same as its headers: anything
else may claim any offset, and what came after it would be taken for repeats.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import structlog

from service.errors import RowsRefusedError
from sinks.bookmark import MAX_TOPIC_BYTES, Source, trimmed
from sinks.table import ScoresTable

MAX_OFFSET: Final = 2**63 - 1
MAX_REPEATS: Final = 20
"""More often than this no server dies between a token and its rows; then the rows are not what they seem."""
NO_COORDINATES: Final = "headers: no source topic, partition and offset"
NO_OBJECT: Final = "value: not one JSON object"

log = structlog.get_logger()

Headers = list[tuple[str, bytes]]


class Record(Protocol):
    """One record of the scores topic, as librdkafka hands it out."""

    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is no row of the table; `error` names what is wrong, never a value."""

    record: Record
    error: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records, sorted: `rows` are to be inserted, `rejected` are dead letters, the rest are repeats.

    `first` is the committed offset and `last` the offset of the last record; `stored` holds the highest source offsets
    once the block is stored.
    """

    first: int
    last: int
    rows: list[Record]
    rejected: list[Rejected]
    repeats: int
    stored: dict[Source, int]


class _AnyObject(msgspec.Struct):
    """No fields: the decoder checks that the bytes are one JSON object and builds nothing of what is in it."""


class _Coordinates(msgspec.Struct, gc=False):
    source_topic: str
    source_partition: int
    source_offset: int


_decode_coordinates = msgspec.json.Decoder(_Coordinates).decode
_check_object = msgspec.json.Decoder(_AnyObject).decode


def make_block(first: int, records: Sequence[Record], stored: Mapping[Source, int]) -> Block:
    """Sort `records` (not empty) that follow what `stored` describes."""
    highest = {(topic.encode(), b"%d" % partition): last for (topic, partition), last in stored.items()}
    rows: list[Record] = []
    rejected: list[Rejected] = []
    repeats = 0
    for record in records:
        try:
            headers = dict(record.headers() or ())
            source, offset = (headers["topic"], headers["partition"]), int(headers["offset"])
            last = highest[source] if source in highest else _before_first(source)
            if not last < offset <= MAX_OFFSET:
                repeats += _is_repeat(offset)
                continue
        except (KeyError, TypeError, ValueError, SystemError):  # the last: the name of a header is not UTF-8
            rejected.append(Rejected(record, NO_COORDINATES))
            continue
        try:
            agrees = _agrees(record.value() or b"", source, offset)
        except (msgspec.DecodeError, RecursionError):
            rejected.append(Rejected(record, NO_OBJECT))
            continue
        rows.append(record)
        if agrees:
            highest.pop(source, None)  # the most recently raised is the last
            highest[source] = offset
    raised = {(topic.decode(), int(partition)): last for (topic, partition), last in highest.items()}
    return Block(first, records[-1].offset(), rows, rejected, repeats, trimmed(raised))


def _before_first(source: tuple[bytes | None, bytes | None]) -> int:
    """Return -1, below every offset; raises ValueError if `source` is no topic and partition."""
    topic, partition = source[0] or b"", source[1] or b""
    topic.decode()  # UnicodeDecodeError is a ValueError
    if not 0 < len(topic) <= MAX_TOPIC_BYTES or not partition.isdigit() or b"%d" % int(partition) != partition:
        raise ValueError
    return -1


def _agrees(value: bytes, source: tuple[bytes, bytes], offset: int) -> bool:
    """Whether the value names the same coordinates as the headers; raises what tells that it is not one JSON object.

    Coordinates are read first, because nearly every value has them, and is an object then.
    """
    try:
        named = _decode_coordinates(value)
    except ValueError:  # a DecodeError is one, and a UnicodeDecodeError
        _check_object(value)
        return False
    topic, partition = source
    return (
        named.source_offset == offset
        and named.source_topic.encode() == topic
        and b"%d" % named.source_partition == partition
    )


def _is_repeat(offset: int) -> int:
    """Return 1; raises ValueError if this is no offset at all."""
    if not 0 <= offset <= MAX_OFFSET:
        raise ValueError
    return 1


def insert_whole(table: ScoresTable, block: Block, token: str, *, tried_before: bool) -> None:
    """Insert the block's rows; raises what `ScoresTable.insert` raises."""
    if block.rows:
        _insert(table, block.rows, token, tried_before=tried_before)


def insert_in_halves(table: ScoresTable, block: Block, token: str, *, tried_before: bool) -> list[Rejected]:
    """Insert every row that the table takes, and return the others.

    The halves, and their tokens, follow from the block alone: again after a crash, they are the same.
    """
    parts = list(_halves(block.rows))
    rejected = []
    while parts:
        rows = parts.pop()
        refusal = _refusal(table, rows, f"{token}/{rows[0].offset()}-{rows[-1].offset()}", tried_before=tried_before)
        if refusal is not None and len(rows) == 1:
            rejected.append(Rejected(rows[0], str(refusal)))
        elif refusal is not None:
            parts += _halves(rows)
    return rejected


def _halves(rows: list[Record]) -> Iterator[list[Record]]:
    """Yield what is not empty of the second and the first half."""
    middle = len(rows) // 2
    yield from filter(None, (rows[middle:], rows[:middle]))


def _refusal(table: ScoresTable, rows: list[Record], token: str, *, tried_before: bool) -> RowsRefusedError | None:
    """Insert `rows`; a refusal counts once repeated: a body that was cut off looks like bad rows."""
    for _ in range(2):
        try:
            _insert(table, rows, token, tried_before=tried_before)
        except RowsRefusedError as failure:
            refusal = failure
        else:
            return None
    return refusal


def _insert(table: ScoresTable, rows: list[Record], token: str, *, tried_before: bool) -> None:
    """Insert `rows`, and after an attempt whose end is unknown make sure that they are there.

    A MergeTree writes a token down before it adds the rows. One that was killed in between knows the token of rows
    that it does not have, and drops them when they come again; so they come once more under another token.
    """
    values = [row.value() or b"" for row in rows]
    table.insert(values, token)
    for _ in range(MAX_REPEATS):
        if not (tried_before and _are_missing(table, rows)):
            return
        log.warning("the table knows the token of rows that it lacks", token=token)
        token += "/again"
        table.insert(values, token)
    raise RowsRefusedError("columns source_topic, source_partition, source_offset: not found as they were inserted")


def _are_missing(table: ScoresTable, rows: list[Record]) -> bool:
    offsets: dict[Source, set[int]] = {}
    for row in rows:
        source, offset = _stored_under(row)
        offsets.setdefault(source, set()).add(offset)  # rows of the same coordinates may be one row by now
    counts = [table.count(source, min(each), max(each)) for source, each in offsets.items()]
    return None not in counts and sum(count or 0 for count in counts) < sum(map(len, offsets.values()))


def _stored_under(row: Record) -> tuple[Source, int]:
    """Return the coordinates that the table finds the row under: the value's, should they contradict the headers'."""
    try:
        value = _decode_coordinates(row.value() or b"")
    except ValueError:  # as text, for example, which the table reads as well, or not UTF-8
        headers = dict(row.headers() or ())
        return (headers["topic"].decode(), int(headers["partition"])), int(headers["offset"])
    return (value.source_topic, value.source_partition), value.source_offset
