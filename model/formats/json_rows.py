"""Lines of JSON objects as other systems write them; a line may hold several events."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from typing import Final

import orjson
import xxhash

from model.events import Event
from model.formats.fields import Fields
from model.formats.ids import LostDigits
from model.formats.own import OwnReading, OwnRow, ToEvent
from model.formats.rows import InvalidRow, Line, dated, row_text
from model.formats.separated import MOST_LINES_ABOVE, header_by_position, header_of, joined_lines
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

_DEEPEST: Final = 254
"""How deep orjson writes."""
_LONG: Final = 17
"""A number of as many digits may be more than a double holds."""


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """A format of one object a line; both functions raise InvalidRow."""

    split: Callable[[Fields], list[Fields]]
    """Split a line's object into one part per event."""
    to_event: ToEvent
    own: OwnReading
    """Where a part has its own name of a type, and details."""
    columns: frozenset[str] = frozenset()
    """Names in a line's object, in small letters, of which a table with such rows has two at least in its header."""
    positions: tuple[str, ...] = ()
    """Names of columns in a table without a header, if such a table can be read."""

    def for_shop(self, shop: Shop) -> "Callable[[Fields], Event]":
        """Return `to_event` with the types and attributes that a shop defines."""
        return self.own.reader(shop, self.to_event)

    def read_rows(self, lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
        """Yield each line's events, and one bad row for each reason for which a part of the line is no event.

        Not one for each bad event, because each bad row holds the whole line.
        """
        to_event = self.for_shop(shop)
        for line in object_lines(lines, self.columns, self.positions):
            if isinstance(line, BadRow):
                yield line
                continue
            reasons = set[str]()
            for row in self._read(line[1], to_event):
                if isinstance(row, Event):
                    yield row
                elif row.reason not in reasons:
                    reasons.add(row.reason)
                    yield row.at(line)

    def own_rows(self, lines: Iterator[Line]) -> Iterator[OwnRow]:
        """Yield what a shop's definition may name in each event."""
        for line in object_lines(lines, self.columns, self.positions):
            if isinstance(line, BadRow):
                continue
            try:
                yield from [self.own.own_row(part, self.to_event(part).type) for part in self._parts(line[1])]
            except InvalidRow:
                continue

    def one_event(self, value: bytes | None, to_event: Callable[[Fields], Event] | None = None) -> Event:
        """Return the event that a record's value holds, or raise InvalidRow: it must be exactly one.

        `to_event` is that of a shop, if there is one.
        """
        if value is None:
            raise InvalidRow("tombstone", "the record has no value (a tombstone)")
        try:
            return self._one(self._parts(value), to_event or self.to_event)
        except LostDigits:
            return self._one(self._parts(value, every_digit=True), to_event or self.to_event)

    def _one(self, parts: list[Fields], to_event: Callable[[Fields], Event]) -> Event:
        if len(parts) > 1:
            raise InvalidRow("events", f"the record holds {len(parts)} events: send each in a record of its own")
        return to_event(parts[0])

    def _read(self, raw: bytes, to_event: Callable[[Fields], Event]) -> list[Event | InvalidRow]:
        """Return each part of a line as an event, or why it is none; once if the line has no parts."""
        try:
            try:
                return [self._part(part, to_event) for part in self._parts(raw)]
            except LostDigits:
                return [self._part(part, to_event) for part in self._parts(raw, every_digit=True)]
        except InvalidRow as invalid:
            return [invalid]

    def _part(self, part: Fields, to_event: Callable[[Fields], Event]) -> Event | InvalidRow:
        try:
            return dated(to_event(part))
        except LostDigits:
            raise
        except InvalidRow as invalid:
            return invalid

    def _parts(self, raw: bytes, *, every_digit: bool = False) -> list[Fields]:
        parts = self.split(parsed_object(raw, every_digit=every_digit))
        if not parts:
            raise InvalidRow("events", "events is empty")
        return parts


def object_lines(
    lines: Iterator[Line], columns: frozenset[str], positions: tuple[str, ...] = ()
) -> Iterator[Line | BadRow]:
    """Yield lines; those of a table, below a header that names two of the columns, as objects with its names.

    `positions` are the names of columns in a table without a header. A row that has not as many columns is a bad row.
    Raises InvalidHeaderError.
    """
    first = list(islice(lines, MOST_LINES_ABOVE))
    above = list(takewhile(lambda line: line[1].lstrip()[:1] not in {b"{", b"["}, first))
    headers = (header_of(line, columns, frozenset(), str.lower) for line in above)
    at, header = next(((at, header) for at, header in enumerate(headers) if header), (-1, None))
    if header is None:
        header = next((found for line in above if (found := header_by_position(line, positions))), None)
    if header is None:
        yield from chain(first, lines)
        return
    rows = chain(first[at + 1 :], lines)
    for line in joined_lines(rows) if header.is_quoted else rows:
        try:
            yield line[0], orjson.dumps(header.given_fields(row_text(line[1])))
        except InvalidRow as invalid:
            yield invalid.at(line)


def whole_id(content: object) -> str:
    """Return the event id of JSON content: a hash that does not depend on the order of its names."""
    try:
        return xxhash.xxh3_128_hexdigest(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError:
        raise InvalidRow("nesting", f"the object nests deeper than {_DEEPEST} levels") from None


def parsed_object(raw: bytes, *, every_digit: bool = False) -> Fields:
    """Return the JSON object that a line holds, or raise InvalidRow.

    With `every_digit`, and if a number may have an exponent as spreadsheets write it, numbers that a double or 64 bits
    may not hold are the texts that stand there.
    """
    if not raw.strip():
        raise InvalidRow("empty", "the value is empty")
    row_text(raw)
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as failure:
        raise InvalidRow("json", f"not JSON: {failure.msg} at character {failure.pos}") from None
    if not isinstance(parsed, dict):
        raise InvalidRow("object", "the value is JSON but not an object")
    return _with_every_digit(raw) if every_digit or b"E+" in raw or b"e+" in raw else parsed


def _with_every_digit(raw: bytes) -> Fields:
    try:
        parsed: Fields = json.loads(
            raw,
            parse_int=lambda text: int(text) if len(text) < _LONG else text,
            parse_float=lambda text: float(text) if len(text) < _LONG and "e" not in text.lower() else text,
        )
    except RecursionError:
        raise InvalidRow("nesting", f"the object nests deeper than {_DEEPEST} levels") from None
    return parsed
