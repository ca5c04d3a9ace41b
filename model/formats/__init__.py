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
_OF_NO_ROW: Final = frozenset({"json", "object", "columns", "encoding", "empty", "size", "nesting", "events"})
"""Reasons that say nothing of a row's values."""
_OF_ANOTHER_FORMAT: Final = frozenset({("segment", "type"), ("ga4", "event_name")})
"""Reasons of these formats for objects that are none of theirs."""


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


class UnknownFormatError(FormatError):
    """No row of a file is an event in any format."""


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
        raise _of_no_format(path, first)
    if len(best) > 1:
        raise FormatError(f"{path} may be of format {' or '.join(best)}: give --format")
    return best[0], f"{counts[best[0]]} events are in its first {len(first)} lines"


def _of_no_format(path: Path, lines: list[Line]) -> FormatError:
    """Return why no line is an event in any format."""
    bad = {name: rows for name in FORMATS if (rows := _bad_rows(name, lines)) is not None}
    if not all(bad.values()):
        return _holds_no_rows(path)
    damaged = [row for row in bad["cartcast"] if row.reason == "encoding"]
    if 2 * len(damaged) > len(lines):
        return _not_utf_8(path, damaged[0])
    name, telling = _nearest(bad, lines)
    if telling:
        return UnknownFormatError(
            f"{path} looks like format {name}, but none of its first {len(bad[name])} rows is an event (line "
            f"{telling[0].line}: {telling[0].error}); {_correct_or_map(path)}"
        )
    return UnknownFormatError(f"{path} looks like none of {', '.join(FORMATS)}: give --format, or {_begin(path)}")


def _begin(path: Path) -> str:
    return f"begin a mapping with `cartcast inspect {path} --suggest map.yml`"


def _correct_or_map(path: Path) -> str:
    return f"correct that, or {_begin(path)}"


def _nearest(bad: dict[str, list[BadRow]], lines: list[Line]) -> tuple[str, list[BadRow]]:
    """Return the format that some lines come nearest, of which none is an event, and the rows that speak for it."""
    telling = {name: _about_values(name, rows, lines) for name, rows in bad.items()}
    nearest = max(reversed(telling), key=lambda name: _nearness(telling[name]))  # others have canonical fields, too
    return nearest, telling[nearest]


def _bad_rows(format_name: str, lines: list[Line]) -> list[BadRow] | None:
    """Return what some lines, of which none is an event, are in a format; None if their header is of another one."""
    try:
        return [row for row in FORMATS[format_name](iter(lines), NO_SHOP) if isinstance(row, BadRow)]
    except InvalidHeaderError:
        return None


def _about_values(format_name: str, bad: list[BadRow], lines: list[Line]) -> list[BadRow]:
    """Return those bad rows of a format's that have what it needs, so that only what they hold is wrong."""
    has_header = len(bad) < len(lines)
    return [
        row
        for row in bad
        if (row.reason not in _OF_NO_ROW or (row.reason == "columns" and has_header))
        and row.error != f"{row.reason} is missing"
        and (format_name, row.reason) not in _OF_ANOTHER_FORMAT
    ]


def _nearness(telling: list[BadRow]) -> tuple[int, int]:
    """Return how many rows may be of a format, and how many of them have a known word where it has its types."""
    return len(telling), sum(not row.error.startswith(f"{row.reason} is none of ") for row in telling)


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
        return _holds_no_rows(path)
    if all(row.reason == "encoding" for row in bad):
        return _not_utf_8(path, bad[0])
    likely = _formats_of(first)
    if likely:
        advice = f"it looks like --format {' or '.join(likely)}"
    else:
        is_near = _about_values(format_name, _bad_rows(format_name, first) or [], first)
        advice = _correct_or_map(path) if is_near else "choose another --format"
    return FormatError(
        f"{path} does not look like format {format_name}: none of its first {len(bad)} rows is an event "
        f"(line {bad[0].line}: {bad[0].error}); {advice}"
    )


def _holds_no_rows(path: Path) -> FormatError:
    return FormatError(f"{path} holds no rows: there is nothing to read")


def _not_utf_8(path: Path, row: BadRow) -> FormatError:
    return FormatError(
        f"{path} is not UTF-8 (line {row.line}: {row.error}): convert it, as with `iconv -f WINDOWS-1252 -t UTF-8`"
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
