"""Input formats: files of many shops become canonical events, one line at a time.

Each format is one small module with `read_rows(lines)`; this module knows their names and what all of them share:
opening and unpacking, line numbers, and which format a file is of.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from model.attributes import CANONICAL
from model.events import Event
from model.formats import cartcast, ga4, matomo, otto, posthog, rees46, retailrocket, segment, shopify, snowplow, taobao
from model.formats.lines import Reading, read_lines
from model.formats.no_format import UnknownFormatError, correct_or_map, holds_no_rows, is_near, not_utf_8, why_none
from model.formats.own import OwnRow
from model.formats.rows import InvalidHeaderError, Line, RepeatedColumnError
from model.shop import NO_SHOP, Shop
from model.validate import BadRow
from service.errors import FormatError

__all__ = ["FORMATS", "Reader", "Reading", "UnknownFormatError", "guess_format", "read_events"]

Reader = Callable[[Iterator[Line], Shop], Iterator[Event | BadRow]]

FORMATS: Final[dict[str, Reader]] = {
    "cartcast": cartcast.read_rows,
    "segment": segment.FORMAT.read_rows,
    "ga4": ga4.FORMAT.read_rows,
    "posthog": posthog.FORMAT.read_rows,
    "snowplow": snowplow.FORMAT.read_rows,
    "matomo": matomo.FORMAT.read_rows,
    "shopify": shopify.read_rows,
    "taobao": taobao.FORMAT.read_rows,
    "rees46": rees46.FORMAT.read_rows,
    "retailrocket": retailrocket.FORMAT.read_rows,
    "otto": otto.FORMAT.read_rows,
}

OWN_ROWS: Final[dict[str, tuple[Callable[[Iterator[Line]], Iterator[OwnRow]], tuple[str, ...]]]] = {
    "cartcast": (cartcast.own_rows, (CANONICAL,)),
    "segment": (segment.FORMAT.own_rows, segment.FORMAT.own.details),
    "ga4": (ga4.FORMAT.own_rows, ga4.FORMAT.own.details),
    "posthog": (posthog.FORMAT.own_rows, posthog.FORMAT.own.details),
    "snowplow": (snowplow.FORMAT.own_rows, snowplow.FORMAT.own.details),
    "rees46": (rees46.FORMAT.own_rows, ()),
    "retailrocket": (retailrocket.FORMAT.own_rows, ()),
}
"""What reads, in formats whose rows may hold more than the format says, what a shop's definition may name; and the path
to where details lie."""

ROWS_BEFORE_GIVING_UP: Final = 1000
"""A file whose first rows are all bad, this many of them, is of another format."""

_ROWS_TO_GUESS_FROM: Final = 50


def read_events(  # noqa: PLR0913 - what is read has no default
    path: Path,
    format_name: str,
    *,
    strict: bool = False,
    shop: Shop = NO_SHOP,
    reading: Reading | None = None,
    read: Reader | None = None,
) -> Iterator[Event | BadRow]:
    """Yield the events of a file in file order, and a BadRow for each row that is no event.

    Events have the types and attributes that `shop` defines. Memory does not grow with the file, which is unpacked on
    the way. `reading` is told how far it has come, and what is odd; `read` reads a format that is none of FORMATS.
    Raises FormatError for an unknown format, a file that is missing, empty, cut short or of another format, and with
    `strict` for the first bad row.
    """
    if read is None and format_name not in FORMATS:
        raise FormatError(f"unknown format {format_name!r}: choose one of {', '.join(FORMATS)}")
    first: list[Line] = []
    lines = _with_first(read_lines(path, reading), first)
    rows = _until_it_cannot_be(path, format_name, (read or FORMATS[format_name])(lines, shop), first)
    return _strictly(path, rows) if strict else rows


def guess_format(path: Path) -> tuple[str, str]:
    """Return the format of which most of a file's first rows are events, and how many are, in words.

    Raises UnknownFormatError if there is none, FormatError if there are several, and if the file cannot be read.
    """
    first = list(islice(read_lines(path), _ROWS_TO_GUESS_FROM))
    try:
        counts = {name: count for name in FORMATS if (count := _events_in(name, first))}
    except RepeatedColumnError as invalid:
        raise FormatError(f"{path}: {invalid}") from None
    best = [name for name, count in counts.items() if count == max(counts.values())]
    if not best:
        raise why_none(path, first, FORMATS)
    if len(best) > 1:
        raise FormatError(f"{path} may be of format {' or '.join(best)}: give --format")
    return best[0], f"{counts[best[0]]} events are in its first {len(first)} lines"


def _with_first(lines: Iterator[Line], first: list[Line]) -> Iterator[Line]:
    """Yield lines, and keep the first ones, so that they can be read as another format."""
    for line in lines:
        if len(first) < _ROWS_TO_GUESS_FROM:
            first.append(line)
        yield line


def _strictly(path: Path, rows: Iterator[Event | BadRow]) -> Iterator[Event | BadRow]:
    for row in rows:
        if isinstance(row, BadRow):
            raise FormatError(f"{path}, line {row.line}: {row.error}; correct the row or read without --strict")
        yield row


def _until_it_cannot_be(
    path: Path, format_name: str, rows: Iterator[Event | BadRow], first: list[Line]
) -> Iterator[Event | BadRow]:
    """Hold bad rows back until the first event shows that the file is of this format."""
    held: list[BadRow] = []
    try:
        for row in rows:
            if isinstance(row, Event):
                yield from held
                yield row
                break
            held.append(row)
            if len(held) == ROWS_BEFORE_GIVING_UP:
                raise _not_of_this_format(path, format_name, held, first)
        else:
            raise _not_of_this_format(path, format_name, held, first)
        yield from rows
    except InvalidHeaderError as invalid:
        is_of_all = isinstance(invalid, RepeatedColumnError)
        likely = [] if is_of_all else [name for name in _formats_of(first) if name != format_name]
        advice = f"; it looks like --format {' or '.join(likely)}" if likely else ""
        raise FormatError(f"{path}: {invalid}{advice}") from None


def _not_of_this_format(path: Path, format_name: str, bad: list[BadRow], first: list[Line]) -> FormatError:
    if not bad:
        return holds_no_rows(path)
    if all(row.reason == "encoding" for row in bad):
        return not_utf_8(path, bad[0])
    likely = _formats_of(first)
    if likely:
        advice = f"it looks like --format {' or '.join(likely)}"
    elif format_name not in FORMATS:
        advice = "correct the mapping"
    else:
        advice = correct_or_map(path) if is_near(format_name, first, FORMATS) else "choose another --format"
    return FormatError(
        f"{path} does not look like format {format_name}: none of its first {len(bad)} rows is an event "
        f"(line {bad[0].line}: {bad[0].error}); {advice}"
    )


def _formats_of(lines: list[Line]) -> list[str]:
    """Return the formats in which at least one of some lines is an event."""
    return [name for name in FORMATS if _events_in(name, lines)]


def _events_in(format_name: str, lines: list[Line]) -> int:
    try:
        return sum(isinstance(row, Event) for row in FORMATS[format_name](iter(lines), NO_SHOP))
    except RepeatedColumnError:
        raise
    except InvalidHeaderError:
        return 0
