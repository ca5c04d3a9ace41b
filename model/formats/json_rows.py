"""Lines of JSON objects as other systems write them; a line may hold several events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import orjson
import xxhash

from model.events import Event
from model.formats.fields import Fields
from model.formats.own import OwnReading, OwnRow, ToEvent
from model.formats.rows import InvalidRow, Line, dated, row_text
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

_DEEPEST: Final = 254
"""How deep orjson writes."""


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """A format of one object a line; both functions raise InvalidRow."""

    split: Callable[[Fields], list[Fields]]
    """Split a line's object into one part per event."""
    to_event: ToEvent
    own: OwnReading
    """Where a part has its own name of a type, and details."""

    def for_shop(self, shop: Shop) -> "Callable[[Fields], Event]":
        """Return `to_event` with the types and attributes that a shop defines."""
        return self.own.reader(shop, self.to_event)

    def read_rows(self, lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
        """Yield each line's events, and one bad row for each reason for which a part of the line is no event.

        Not one for each bad event, because each bad row holds the whole line.
        """
        to_event = self.for_shop(shop)
        for line in lines:
            reasons = set[str]()
            try:
                parts = self._parts(line[1])
            except InvalidRow as invalid:
                yield invalid.at(line)
                continue
            for part in parts:
                try:
                    event = dated(to_event(part))
                except InvalidRow as invalid:
                    if invalid.reason not in reasons:
                        reasons.add(invalid.reason)
                        yield invalid.at(line)
                else:
                    yield event

    def own_rows(self, lines: Iterator[Line]) -> Iterator[OwnRow]:
        """Yield what a shop's definition may name in each event."""
        for line in lines:
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
        parts = self._parts(value)
        if len(parts) > 1:
            raise InvalidRow("events", f"the record holds {len(parts)} events: send each in a record of its own")
        return (to_event or self.to_event)(parts[0])

    def _parts(self, raw: bytes) -> list[Fields]:
        parts = self.split(_object(raw))
        if not parts:
            raise InvalidRow("events", "events is empty")
        return parts


def whole_id(content: object) -> str:
    """Return the event id of JSON content: a hash that does not depend on the order of its names."""
    try:
        return xxhash.xxh3_128_hexdigest(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError:
        raise InvalidRow("nesting", f"the object nests deeper than {_DEEPEST} levels") from None


def _object(raw: bytes) -> Fields:
    if not raw.strip():
        raise InvalidRow("empty", "the value is empty")
    row_text(raw)
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as failure:
        raise InvalidRow("json", f"not JSON: {failure.msg} at character {failure.pos}") from None
    if not isinstance(parsed, dict):
        raise InvalidRow("object", "the value is JSON but not an object")
    return parsed
