"""The scores table without ClickHouse: the same promises, kept under the same contract tests."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS
from service.errors import RowsRefusedError
from sinks.bookmark import Source
from sinks.table import Key, identity

_Text = Annotated[str, Meta(min_length=1)]
_TimeMs = Annotated[int, Meta(ge=MIN_EVENT_TIME_MS, le=MAX_EVENT_TIME_MS)]
_Probability = Annotated[float, Meta(ge=0, le=1)] | None
_Number = Annotated[int, Meta(ge=0)]


class _Row(msgspec.Struct):
    user_id: _Text
    event_id: _Text
    event_type: _Text
    event_time: _TimeMs
    model: _Text
    source_topic: _Text
    source_partition: _Number
    source_offset: _Number
    scored_at: _TimeMs
    propensity_session: _Probability = None
    propensity_1h: _Probability = None
    propensity_24h: _Probability = None
    shift_session: float = 0.0
    shift_1h: float = 0.0
    shift_24h: float = 0.0
    item_id: str | None = None
    category: str | None = None
    price: float | None = None
    quantity: float | None = None
    rating: float | None = None
    text: str | None = None
    anonymous_id: str | None = None
    shown: list[str] = []
    shown_by: str | None = None
    placement: str | None = None
    channel: str | None = None
    source_timestamp: int = 0


_decode = msgspec.json.Decoder(_Row).decode


class MemoryTable:
    """Keeps rows in `rows`, in the order of their insertion, and every token in `tokens`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.refuses_channel = "refused"
        """Of a rule that only this table has."""

    def check(self) -> None:
        """Return: it is always there."""

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        decoded = [self._row(value) for value in rows]
        if token not in self.tokens:
            self.tokens.add(token)
            self.rows.extend(decoded)

    def violations(self, rows: Sequence[bytes]) -> dict[int, str]:
        return {place: error for place, value in enumerate(rows) if (error := self._error(value))}

    @property
    def shows_at_once(self) -> bool:
        return True

    def stored(self, source: Source, keys: Sequence[Key]) -> set[Key]:
        found = {(row["source_offset"], identity(row["user_id"], row["event_id"])) for row in self._of(source)}
        return found & set(keys)

    def highest(self, source: Source) -> int:
        return max((row["source_offset"] for row in self._of(source)), default=-1)

    def _of(self, source: Source) -> list[dict[str, Any]]:
        return [row for row in self.rows if (row["source_topic"], row["source_partition"]) == source]

    def _error(self, value: bytes) -> str:
        try:
            self._row(value)
        except RowsRefusedError as refusal:
            return str(refusal)
        return ""

    def _row(self, value: bytes) -> dict[str, Any]:
        row = _row(value)
        if row["channel"] == self.refuses_channel:
            raise RowsRefusedError("column channel: missing or out of range")
        return row

    def close(self) -> None:
        """Keep everything."""


def _row(value: bytes) -> dict[str, Any]:
    try:
        row = msgspec.structs.asdict(_decode(value))
    except msgspec.DecodeError as failure:  # its text names field and types, never a value
        raise RowsRefusedError(f"column: {failure}") from None
    absent = {name: math.nan for name in row if name.startswith("propensity_") and row[name] is None}
    texts = ("item_id", "category", "channel", "text", "anonymous_id", "shown_by", "placement")
    return row | absent | {name: row[name] or "" for name in texts}
