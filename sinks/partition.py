"""One assigned partition of the scores topic: what was read and is not stored yet."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import methodcaller
from typing import Final

import structlog

from service.errors import RefusedError
from sinks.blocks import Block, Origin, Record, RecordRefusedError, Rejected, make_block
from sinks.bookmark import Bookmark

MAX_BLOCK_BYTES: Final = 64 << 20

_value_of = methodcaller("value")
log = structlog.get_logger()


@dataclass(frozen=True)
class BlockLimits:
    """When a block is full: so many rows, or so many seconds after its first record may have come in.

    `fetch_records`: most records that are taken from Kafka's client at once.
    """

    rows: int
    seconds: float
    fetch_records: int = 10_000


class Partition:
    """Collects records, freezes them into a block, and knows what to commit before and after.

    The order is: `add` ..., `freeze` when `due`, commit `to_commit` and tell `committed`, store `block` once
    `block_is_named`, then `settle`. A block that was frozen stays the same until it is settled or the partition goes.
    """

    def __init__(  # noqa: PLR0913
        self, number: int, committed: Bookmark, limits: BlockLimits, origin: Origin, *, highest: int = -1, end: int = 0
    ) -> None:
        """Go on at `committed`, the bookmark that Kafka holds; it may name a block to be made again.

        `highest`: the highest source offset that the table has. `end`: the partition's end offset; who was here before
        may have tried to store any block below it, should nothing tell which.
        """
        self.number = number
        self.block: Block | None = None
        self.compared = committed.compared
        self.rows_at_once = committed.rows_at_once
        self.tried = False
        named_end = 0 if committed.block_last is None else committed.block_last + 1
        self._tried_until = end if committed.offset is None else named_end
        self._limits = limits
        self._origin = origin
        self._highest = highest
        self._committed = committed
        self._settled = replace(committed, block_last=None, compared=False, rows_at_once=None)
        self._named_last = committed.block_last
        self._pending: list[Record] = []
        self._pending_bytes = 0
        self._since = 0.0
        self._next_offset: int | None = None  # unknown until the first record

    @property
    def start(self) -> int | None:
        """The offset to read from; None for the beginning."""
        return self._settled.offset

    @property
    def next_offset(self) -> int | None:
        """The offset of the next record, should none be missing; None if any may come."""
        return self._settled.offset if self._next_offset is None else self._next_offset

    def lacking(self, records: Sequence[Record]) -> int:
        """Return how many records before these, the first that are left, the table may lack.

        Without a commit that can be believed only the table knows how far it came. Between its highest source offset
        and that of the first score there may be as many scores as offsets, and no more records than are gone. A table
        without rows of this source lacks nothing: whoever begins with an old topic has lost nothing.
        """
        if self._highest < 0:
            return 0
        for record in records:
            with suppress(RecordRefusedError):
                return min(max(self._origin.judge(record).source_offset - self._highest - 1, 0), records[0].offset())
        return 0

    def add(self, records: Sequence[Record], since: float) -> None:
        """Take records in order; `since` is a time before the first of them can have come in."""
        if self._next_offset is None:
            self._take_first(records[0].offset())
        elif records[0].offset() < self._next_offset:
            records = self._without_reread(records, self._next_offset)
            if not records:
                return
        if not self._pending:
            self._since = since
        self._pending.extend(records)
        self._pending_bytes += _bytes_of(records)
        self._next_offset = records[-1].offset() + 1

    def _take_first(self, offset: int) -> None:
        if self._settled.offset is None or offset < self._settled.offset:
            if self._settled.offset is not None:
                log.warning("the partition starts again below the committed offset", partition=self.number)
            self._settled = replace(self._settled, offset=offset)
            self._named_last = None
        elif self._named_last is not None and offset > self._named_last:
            log.warning("records of the last block are gone, deleted by the topic's retention", partition=self.number)
            self._named_last = None
        self.compared = self.compared and self._named_last is not None

    def _without_reread(self, records: Sequence[Record], next_offset: int) -> Sequence[Record]:
        """Leave out what was read before (librdkafka fetches again after a pause)."""
        if records[0].offset() < (self._settled.offset or 0):
            raise RefusedError(
                f"partition {self.number} of the scores topic went back to offset {records[0].offset()}: "
                "the topic was deleted or cut while the sink read it; start the sink again"
            )
        return [record for record in records if record.offset() >= next_offset]

    def due(self, now: float, *, stopping: bool = False) -> bool:
        """Whether the pending records should be frozen into a block now."""
        if self.block is not None or not self._pending:
            return False
        if self._named_last is not None:
            return self._pending[-1].offset() >= self._named_last
        full = len(self._pending) >= self._limits.rows or self._pending_bytes >= MAX_BLOCK_BYTES
        return full or stopping or now - self._since >= self._limits.seconds

    def deadline(self) -> float | None:
        """When the pending records become due by time alone."""
        return self._since + self._limits.seconds if self._pending and self.block is None else None

    def freeze(self) -> None:
        """Make the block: the one that Kafka's bookmark names, or a new one; raises what `Origin.end_offset` raises.

        A block that was named without comparing it with the table is inserted whole: its token tells what is stored.
        """
        named = self._named_last is not None
        if named:
            count = sum(record.offset() <= (self._named_last or 0) for record in self._pending)
        else:
            count = min(self._limits.rows, len(self._pending))
        records = self._pending[:count]
        first = records[0].offset() if self._settled.offset is None else self._settled.offset
        stored = self._settled.stored if named else max(self._settled.stored, self._highest)
        self.block = make_block(first, records, stored, self._origin)
        self._pending = self._pending[count:]
        self._pending_bytes = _bytes_of(self._pending)
        self.compared = self.compared or (self.block.compared and not named)
        self.tried = first < self._tried_until

    def to_commit(self) -> Bookmark | None:
        """Return what Kafka should hold now and does not: the block's name, or in a quiet moment that all is stored."""
        bookmark = self._settled
        if self.block is not None:
            bookmark = replace(
                bookmark,
                offset=self.block.first,
                block_last=self.block.last,
                compared=self.compared,
                rows_at_once=self.rows_at_once,
            )
        elif self._pending or self._named_last is not None:
            return None
        return bookmark if bookmark != self._committed and bookmark.offset is not None else None

    def final_commit(self) -> Bookmark | None:
        """Return what to commit when the partition goes to another sink: nothing that would hide a block's name."""
        if self.block is not None or self._named_last is not None or self._settled == self._committed:
            return None
        return self._settled if self._settled.offset is not None else None

    def committed(self, bookmark: Bookmark) -> None:
        """Note that Kafka holds `bookmark`."""
        self._committed = bookmark

    @property
    def block_is_named(self) -> bool:
        """Whether the block may be stored: Kafka holds its name."""
        return self.block is not None and self.to_commit() is None

    @property
    def unfinished(self) -> bool:
        """Whether something is left that can be stored or committed now."""
        return self.block is not None or self.due(0.0, stopping=True) or self.to_commit() is not None

    def compare(self) -> None:
        """Note that the table refused the block: under its new name only those rows are inserted that it takes."""
        self.compared = True

    def cut(self) -> bool:
        """Note that the block is too large for a proxy; False if it is not larger than the limits allow."""
        if self.block is None or len(self.block.rows) <= self._limits.rows or self.rows_at_once == self._limits.rows:
            return False
        self.compared, self.rows_at_once = True, self._limits.rows
        return True

    def settle(self, rejected: Sequence[Rejected] = ()) -> None:
        """Note that the block is stored but for the `rejected`, whose dead letters are delivered."""
        if self.block is not None:
            refused = {each.record.offset() for each in rejected}
            rows = [row.source_offset for row in self.block.rows if row.record.offset() not in refused]
            stored = max([self._settled.stored, *rows])
            self._settled = replace(self._settled, offset=self.block.last + 1, stored=stored)
            self.block, self._named_last = None, None
            self.compared, self.rows_at_once, self.tried = False, None, False

    def token(self) -> str:
        """Name the block for ClickHouse: never the same for two blocks, also of two topics of one name."""
        block = self.block
        return f"{self._settled.topic_id}/{self.number}/{block.first}-{block.last}" if block else ""


def _bytes_of(records: Sequence[Record]) -> int:
    return sum(map(len, filter(None, map(_value_of, records))))
