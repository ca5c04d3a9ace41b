"""Which rows make a block, so that a crash makes the same block again, and how a block gets into the table.

Within one scores partition the source offsets rise, except where a worker repeated what it had published before a
crash. A row above the highest source offset that is stored is new, for sure. Of any other nobody is believed but the
table: it is a repeat exactly if the table has it. Such a block is `compared`, and its token names the rows that were
lacking; so a record can claim any source offset, and no other row vanishes for it.
"""

import zlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import structlog

from service.errors import CartcastError, RowsRefusedError, UnavailableError
from sinks.bookmark import Source
from sinks.table import Key, ScoresTable, identity_of

MAX_OFFSET: Final = 2**63 - 1
MAX_REPEATS: Final = 20
"""More often than this no server dies between a token and its rows; then something deletes them, such as their TTL."""
BEYOND_THE_END: Final = "headers: a source offset that the events topic does not have"

log = structlog.get_logger()

Headers = list[tuple[str, bytes]]


class Record(Protocol):
    """One record of the scores topic, as librdkafka hands it out."""

    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...


class RecordRefusedError(CartcastError):
    """A record that is no row: `reason` to group by, `error` what is wrong with it, never a value."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


class Row(NamedTuple):
    """A record that is a row of the table."""

    record: Record
    source_offset: int

    @property
    def key(self) -> Key:
        """What the table knows the row by; decodes the value."""
        return self.source_offset, identity_of(self.record.value() or b"")


Judge = Callable[[Record], Row]
"""Returns the row that a record is, or raises RecordRefusedError."""
EndOffset = Callable[[int], int]
"""Returns the end of the source partition, asked for again if the given source offset lies beyond what is known."""


@dataclass(frozen=True)
class Origin:
    """Where the events of a partition's scores lie, and how its records are judged."""

    source: Source
    judge: Judge
    end_offset: EndOffset
    forgotten: Container["Record"] = ()
    """Records that are left out."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is no row of the table; `error` names what is wrong, never a value."""

    record: Record
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records, sorted: `rows` are to be inserted, `rejected` are dead letters, the rest are repeats.

    Those of shoppers who are `forgotten` are none of these.

    `source` is where their events lie, `first` the committed offset and `last` the offset of the last record.
    `compared`: the table may have some of the rows.
    """

    source: Source
    first: int
    last: int
    rows: list[Row]
    rejected: list[Rejected]
    repeats: int
    compared: bool
    forgotten: int = 0


def make_block(first: int, records: Sequence[Record], stored: int, origin: Origin) -> Block:
    """Sort `records` (not empty) that come after the row of the highest `stored` source offset; -1 if none is.

    Raises what `origin.end_offset` raises.
    """
    kept = [record for record in records if record not in origin.forgotten] if origin.forgotten else records
    judged, rejected = _judged(kept, origin.judge)
    highest = max((row.source_offset for row in judged), default=-1)
    if highest >= 0 and highest >= (end := origin.end_offset(highest)):
        rejected += [Rejected(row.record, "stranger", BEYOND_THE_END) for row in judged if row.source_offset >= end]
        judged = [row for row in judged if row.source_offset < end]
    if _all_rise(judged, stored):
        rows, compared = judged, False
    else:
        rows, compared = _distinct(judged, stored)
    repeats, forgotten = len(judged) - len(rows), len(records) - len(kept)
    return Block(origin.source, first, records[-1].offset(), rows, rejected, repeats, compared, forgotten)


def _all_rise(rows: Sequence[Row], stored: int) -> bool:
    """Whether each source offset is above the one before, and the first above what is stored."""
    for row in rows:
        if row.source_offset <= stored:
            return False
        stored = row.source_offset
    return True


def _distinct(judged: Sequence[Row], stored: int) -> tuple[list[Row], bool]:
    """Return the rows without repeats among themselves, and whether the table may have some of them."""
    rows: dict[Key, Row] = {}
    compared = False
    for row in judged:
        if (key := row.key) not in rows:
            compared = compared or row.source_offset <= stored
            stored = max(stored, row.source_offset)
            rows[key] = row
    return [*rows.values()], compared


def _judged(records: Sequence[Record], judge: Judge) -> tuple[list[Row], list[Rejected]]:
    rows, rejected = [], []
    for record in records:
        try:
            rows.append(judge(record))
        except RecordRefusedError as refusal:
            rejected.append(Rejected(record, refusal.reason, refusal.error))
    return rows, rejected


def insert_whole(table: ScoresTable, block: Block, token: str, *, tried_before: bool) -> None:
    """Insert the block's rows; raises what `ScoresTable.insert` raises."""
    if block.rows:
        _insert(table, block.source, block.rows, token, tried_before=tried_before)


def insert_lacking(
    table: ScoresTable, block: Block, token: str, rows_at_once: int | None, *, tried_before: bool
) -> tuple[list[Rejected], int]:
    """Insert the rows that the table lacks, all at once or so many; return those that it refuses, and how many it had.

    The engine is asked once which rows it refuses, and why. Raises UnavailableError if it cannot tell.
    """
    known = table.stored(block.source, [row.key for row in block.rows])
    rows = [row for row in block.rows if row.key not in known]
    repeats = len(block.rows) - len(rows)
    try:
        _insert_in_pieces(table, block.source, rows, token, rows_at_once, tried_before=tried_before)
    except RowsRefusedError:
        refused = table.violations([row.record.value() or b"" for row in rows])
    else:
        return [], repeats
    good = [row for place, row in enumerate(rows) if place not in refused]
    known = table.stored(block.source, [row.key for row in good])  # pieces before the refused one
    try:
        lacking = [row for row in good if row.key not in known]
        _insert_in_pieces(table, block.source, lacking, token, rows_at_once, tried_before=tried_before)
    except RowsRefusedError as refusal:
        raise UnavailableError(f"ClickHouse refuses rows and does not tell which: {refusal}") from None
    return [Rejected(rows[place].record, "row", error) for place, error in refused.items()], repeats


def _insert_in_pieces(  # noqa: PLR0913
    table: ScoresTable, source: Source, rows: list[Row], token: str, rows_at_once: int | None, *, tried_before: bool
) -> None:
    size = rows_at_once or max(len(rows), 1)
    for start in range(0, len(rows), size):
        piece = rows[start : start + size]
        names = zlib.crc32(b" ".join(b"%d" % row.record.offset() for row in piece))
        _insert(table, source, piece, f"{token}/{names:08x}", tried_before=tried_before)


def _insert(table: ScoresTable, source: Source, rows: list[Row], token: str, *, tried_before: bool) -> None:
    """Insert `rows`, and after an attempt whose end is unknown make sure that they are there.

    A MergeTree writes a token down before it adds the rows. One that was killed in between knows the token of rows
    that it does not have, and drops them when they come again; so they come once more under another token.
    """
    values = [row.record.value() or b"" for row in rows]
    table.insert(values, token)
    for _ in range(MAX_REPEATS):
        if not (tried_before and table.shows_at_once):
            return
        if len(table.stored(source, [row.key for row in rows])) == len(rows):
            return
        log.warning("the table knows the token of rows that it lacks", token=token)
        token += "/again"
        table.insert(values, token)
    log.warning("the table does not show rows that it has taken: something deletes them", token=token)
