"""What all formats share: invalid rows, ids that are made, the text of a line."""

from typing import Final

import xxhash

from model.events import MAX_ID_BYTES, Event, is_in_years
from model.validate import OUTSIDE_YEARS, BadRow, InvalidEvent
from service.errors import FormatError

MAX_LINE_BYTES: Final = 900_000
"""Longer lines are bad rows: Kafka's default largest message is one mebibyte."""

Line = tuple[int, bytes]
"""Line number from 1, and the bytes without the line's end; at most MAX_LINE_BYTES + 1 of them."""

_SEPARATOR: Final = "\x1f"  # ASCII's unit separator: no field holds it, so no two rows give the same text


class InvalidHeaderError(FormatError):
    """The header of a table does not say what its columns are."""


class RepeatedColumnError(InvalidHeaderError):
    """The header names a column twice."""


class InvalidRow(InvalidEvent):
    """Raised while a row is read; `reason` names the column at fault or the kind of damage."""

    def at(self, line: Line) -> BadRow:
        """Return the bad row that this exception makes of `line`."""
        return BadRow(line=line[0], reason=self.reason, error=self.error, raw=line[1])


def content_id(*fields: str) -> str:
    """Return the event id of a row without one: 128 bits of its normalised fields, so a repeated row is one event."""
    return xxhash.xxh3_128_hexdigest(_SEPARATOR.join(fields).encode())


def order_event_id(order_id: str | None, name: str = "purchase") -> str | None:
    """Return the event id of an order's purchase, so that a repeated confirmation is no second one; None without order.

    `name` is the type's name if it is a shop's own.
    """
    event_id = f"{name}:{order_id}"
    if order_id is None:
        return None
    return event_id if len(event_id.encode()) <= MAX_ID_BYTES else content_id(name, order_id)


def row_text(raw: bytes) -> str:
    """Return the text of a line, or raise InvalidRow for damage that no text format holds."""
    if len(raw) > MAX_LINE_BYTES:
        raise InvalidRow("size", f"the line is longer than {MAX_LINE_BYTES} bytes: only its beginning is kept")
    if b"\0" in raw:
        raise InvalidRow("encoding", "the line holds a NUL byte")
    try:
        return raw.decode()
    except UnicodeDecodeError as failure:
        raise InvalidRow("encoding", f"invalid UTF-8 at byte {failure.start}") from None


def dated(event: Event) -> Event:
    """Return the event of a file, which nothing else dates; raises InvalidRow if its time cannot be right."""
    if not is_in_years(event.ts):
        raise InvalidRow("ts", OUTSIDE_YEARS)
    return event
