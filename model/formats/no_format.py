"""Why no row of a file is an event: damage, values that are wrong in one format, events that lie deeper."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import orjson

from model.events import Event
from model.formats.fields import optional_object
from model.formats.rows import InvalidHeaderError, Line
from model.shop import NO_SHOP, Shop
from model.validate import BadRow
from service.errors import FormatError

Formats = Mapping[str, Callable[[Iterator[Line], Shop], Iterator[Event | BadRow]]]
"""What reads each format, by its name."""

_OF_NO_ROW: Final = frozenset({"json", "object", "columns", "encoding", "empty", "size", "nesting", "events"})
"""Reasons that say nothing of a row's values."""
_OF_ANOTHER_FORMAT: Final = frozenset({("segment", "type"), ("ga4", "event_name")})
"""Reasons of these formats for objects that are none of theirs."""
_OF_A_CANONICAL_EVENT: Final = (b'"user_id"', b'"type"')


class UnknownFormatError(FormatError):
    """No row of a file is an event in any format."""


def why_none(path: Path, lines: list[Line], formats: Formats) -> FormatError:
    """Return why none of a file's first lines is an event in any format."""
    bad = {name: rows for name in formats if (rows := _bad_rows(formats[name], lines)) is not None}
    if not all(bad.values()):
        return holds_no_rows(path)
    if damaged := _most([row for row in bad["cartcast"] if row.reason == "encoding"], lines):
        return not_utf_8(path, damaged[0])
    if damaged := _most([row for row in bad["posthog"] if row.reason == "json" and row.raw[:1] == b"{"], lines):
        return FormatError(
            f"{path}, line {damaged[0].line}: {damaged[0].error}; JSON has texts in double quotes, and no NaN or None"
        )
    telling = {name: _about_values(name, rows, lines) for name, rows in bad.items()}
    nearest = max(reversed(telling), key=lambda name: _nearness(telling[name]))  # others have canonical fields, too
    if telling[nearest]:
        example = telling[nearest][0]
        return UnknownFormatError(
            f"{path} looks like format {nearest}, but none of its first {len(bad[nearest])} rows is an event (line "
            f"{example.line}: {example.error}); {correct_or_map(path)}"
        )
    if deeper := _deeper(lines[0], formats):
        query, name = deeper
        return UnknownFormatError(
            f"{path} holds events of format {name} deeper: take them out with `jq -c '{query}' {path}`"
        )
    return UnknownFormatError(f"{path} looks like none of {', '.join(formats)}: give --format, or {_begin(path)}")


def holds_no_rows(path: Path) -> FormatError:
    """Return the error of a file with nothing but a header or blank lines."""
    return FormatError(f"{path} holds no rows: there is nothing to read")


def not_utf_8(path: Path, row: BadRow) -> FormatError:
    """Return the error of a file whose rows are in another encoding, of which one is given."""
    return FormatError(
        f"{path} is not UTF-8 (line {row.line}: {row.error}): convert it, as with `iconv -f WINDOWS-1252 -t UTF-8`"
    )


def correct_or_map(path: Path) -> str:
    """Return what to do if a file is of a format but for the values of its rows."""
    return f"correct that, or {_begin(path)}"


def is_near(format_name: str, lines: list[Line], formats: Formats) -> bool:
    """Whether lines of which none is an event have what a format needs, so that only their values are wrong."""
    bad = _bad_rows(formats[format_name], lines)
    return bool(bad and _about_values(format_name, bad, lines))


def _begin(path: Path) -> str:
    return f"begin a mapping with `cartcast inspect {path} --suggest map.yml`"


def _most(rows: list[BadRow], lines: list[Line]) -> list[BadRow]:
    """Return rows if they are more than half of the lines."""
    return rows if 2 * len(rows) > len(lines) else []


def _bad_rows(
    read: Callable[[Iterator[Line], Shop], Iterator[Event | BadRow]], lines: list[Line]
) -> list[BadRow] | None:
    """Return what some lines, of which none is an event, are in a format; None if their header is of another one."""
    try:
        return [row for row in read(iter(lines), NO_SHOP) if isinstance(row, BadRow)]
    except InvalidHeaderError:
        return None


def _about_values(format_name: str, bad: list[BadRow], lines: list[Line]) -> list[BadRow]:
    """Return those bad rows of a format's that have what it needs, so that only what they hold is wrong."""
    has_header = len(bad) < len(lines)
    return [row for row in bad if _is_about_a_value(format_name, row, has_header=has_header)]


def _is_about_a_value(format_name: str, row: BadRow, *, has_header: bool) -> bool:
    if row.reason in _OF_NO_ROW or (format_name, row.reason) in _OF_ANOTHER_FORMAT:
        return row.reason == "columns" and has_header
    if row.error == f"{row.reason} is missing":
        is_canonical = format_name == "cartcast" and all(name in row.raw for name in _OF_A_CANONICAL_EVENT)
        return is_canonical or format_name == "segment"  # which has looked at the type of the call by then
    return has_header or _has_a_known_word(row)


def _nearness(telling: list[BadRow]) -> tuple[int, int]:
    """Return how many rows may be of a format, and how many of them have a known word where it has its types."""
    return len(telling), sum(map(_has_a_known_word, telling))


def _has_a_known_word(row: BadRow) -> bool:
    return not row.error.startswith(f"{row.reason} is none of ")


def _deeper(line: Line, formats: Formats) -> tuple[str, str] | None:
    """Return under which name of an object there are events, as a query of jq, and of which format; None if nowhere."""
    try:
        fields = orjson.loads(line[1])
    except orjson.JSONDecodeError:
        return None
    for name, given in fields.items() if isinstance(fields, dict) else ():
        held = optional_object(given)
        objects = held if isinstance(held, list) else [held]
        inner = [(1, orjson.dumps(one)) for one in objects if isinstance(one, dict)]
        query = f'."{name}"{" | fromjson" if isinstance(given, str) else ""}{"[]" if isinstance(held, list) else ""}'
        for format_name, read in formats.items():
            if any(isinstance(row, Event) for row in read(iter(inner), NO_SHOP)):
                return query, format_name
    return None
