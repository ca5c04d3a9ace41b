"""Input formats: files of many shops become canonical events, one line at a time.

Each format is one small module with `read_rows(lines)`; this module knows their names and what all of them share:
opening and unpacking, line numbers, and whether a file is of the given format.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from model.attributes import CANONICAL
from model.events import Event
from model.formats import cartcast, ga4, otto, rees46, retailrocket, segment, taobao
from model.formats.lines import read_lines
from model.formats.own import OwnRow
from model.formats.rows import Line
from model.shop import NO_SHOP, Shop
from model.validate import BadRow
from service.errors import FormatError

__all__ = ["FORMATS", "read_events"]

Reader = Callable[[Iterator[Line], Shop], Iterator[Event | BadRow]]

FORMATS: Final[dict[str, Reader]] = {
    "cartcast": cartcast.read_rows,
    "segment": segment.FORMAT.read_rows,
    "ga4": ga4.FORMAT.read_rows,
    "taobao": taobao.read_rows,
    "rees46": rees46.FORMAT.read_rows,
    "retailrocket": retailrocket.FORMAT.read_rows,
    "otto": otto.FORMAT.read_rows,
}

OWN_ROWS: Final[dict[str, tuple[Callable[[Iterator[Line]], Iterator[OwnRow]], tuple[str, ...]]]] = {
    "cartcast": (cartcast.own_rows, (CANONICAL,)),
    "segment": (segment.FORMAT.own_rows, segment.FORMAT.own.details),
    "ga4": (ga4.FORMAT.own_rows, ga4.FORMAT.own.details),
    "rees46": (rees46.FORMAT.own_rows, ()),
    "retailrocket": (retailrocket.FORMAT.own_rows, ()),
}
"""What reads, in formats whose rows may hold more than the format says, what a shop's definition may name; and the path
to where details lie."""

ROWS_BEFORE_GIVING_UP: Final = 1000
"""A file whose first rows are all bad, this many of them, is of another format."""

_ROWS_TO_GUESS_FROM: Final = 20


def read_events(  # noqa: PLR0913 - what is read has no default
    path: Path,
    format_name: str,
    *,
    strict: bool = False,
    shop: Shop = NO_SHOP,
    on_bytes: Callable[[int], None] | None = None,
    on_blank: Callable[[], None] | None = None,
) -> Iterator[Event | BadRow]:
    """Yield the events of a file in file order, and a BadRow for each row that is no event.

    Events have the types and attributes that `shop` defines. Memory does not grow with the file. `.gz` is unpacked on
    the way. `on_bytes` is called now and then with the bytes of the (packed) file read so far, `on_blank` for every
    blank line, which is no row. Raises FormatError for an unknown format, a file that is missing, empty, cut short or
    of another format, and with `strict` for the first bad row.
    """
    if format_name not in FORMATS:
        raise FormatError(f"unknown format {format_name!r}: choose one of {', '.join(FORMATS)}")
    rows = _until_it_cannot_be(path, format_name, FORMATS[format_name](read_lines(path, on_bytes, on_blank), shop))
    return _strictly(path, rows) if strict else rows


def _strictly(path: Path, rows: Iterator[Event | BadRow]) -> Iterator[Event | BadRow]:
    for row in rows:
        if isinstance(row, BadRow):
            raise FormatError(f"{path}, line {row.line}: {row.error}; correct the row or read without --strict")
        yield row


def _until_it_cannot_be(path: Path, format_name: str, rows: Iterator[Event | BadRow]) -> Iterator[Event | BadRow]:
    """Hold bad rows back until the first event shows that the file is of this format."""
    held: list[BadRow] = []
    for row in rows:
        if isinstance(row, Event):
            yield from held
            yield row
            break
        held.append(row)
        if len(held) == ROWS_BEFORE_GIVING_UP:
            raise _not_of_this_format(path, format_name, held)
    else:
        raise _not_of_this_format(path, format_name, held)
    yield from rows


def _not_of_this_format(path: Path, format_name: str, bad: list[BadRow]) -> FormatError:
    if not bad:
        return FormatError(f"{path} holds no rows: there is nothing to read")
    likely = _formats_of([(row.line, row.raw) for row in bad[:_ROWS_TO_GUESS_FROM]])
    advice = f"it looks like --format {' or '.join(likely)}" if likely else "choose another --format"
    return FormatError(
        f"{path} does not look like format {format_name}: none of its first {len(bad)} rows is an event "
        f"(line {bad[0].line}: {bad[0].error}); {advice}"
    )


def _formats_of(lines: list[Line]) -> list[str]:
    """Return the formats in which at least one of some lines is an event."""
    return [name for name, read in FORMATS.items() if any(isinstance(row, Event) for row in read(iter(lines), NO_SHOP))]
