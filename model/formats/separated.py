"""Lines of separated values: fields, quotes, headers; by any of the usual delimiters."""

import csv
import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from model.formats.rows import MAX_LINE_BYTES, InvalidHeaderError, InvalidRow, Line, RepeatedColumnError, row_text

DELIMITERS: Final = (",", ";", "\t", "|", "\x01", "^", "~")
"""The fifth is Hive's."""
MOST_LINES_ABOVE: Final = 20
"""How many lines may stand above a header: a title, a comment."""
_MOST_LINES_OF_A_ROW: Final = 50
_NAMES_SHOWN: Final = 12
_FEWEST_NAMES: Final = 2
"""As many known names in a line are no accident, unless they are single letters."""
_SEPARATOR_LINE: Final = re.compile(r'"?sep=.{1,2}"?', re.IGNORECASE)
"""What spreadsheets write first."""
_LIKE_A_NAME: Final = re.compile(r"[^\W\d][\w .()/-]*")
csv.field_size_limit(MAX_LINE_BYTES)  # else fields above 128 KiB raise
_OPENS_A_QUOTE: Final = re.compile(rf'(?:^|[{re.escape("".join(DELIMITERS))}]) *"'.encode())


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says."""

    names: tuple[str, ...]
    """Of the columns."""
    given: tuple[str, ...]
    """The same as they stand there."""
    delimiter: str
    is_quoted: bool = True
    """Whether quotes keep delimiters and line ends in a field."""

    def fields(self, text: str) -> dict[str, str]:
        """Return a row's fields by column, or raise InvalidRow."""
        return fields_by_name(self.names, split_fields(text, self.delimiter))

    def given_fields(self, text: str) -> dict[str, str]:
        """Return a row's fields, except empty ones, by the names that stand in the header, or raise InvalidRow."""
        split = split_fields(text, self.delimiter) if self.is_quoted else text.split(self.delimiter)
        return {name: one for name, one in fields_by_name(self.given, split).items() if one}


def header_of(
    line: Line, known: Collection[str], required: frozenset[str], column: Callable[[str], str]
) -> Header | None:
    """Return the header that a line is, None if it names less than two of the known columns.

    `column` gives a name its column. Raises InvalidHeaderError for a column that is named twice, and if one that is
    required is not there.
    """
    try:
        text = row_text(line[1])
    except InvalidRow:
        return None
    if text.startswith(("{", "[")):
        return None
    for delimiter in DELIMITERS:
        given = split_fields(text, delimiter)
        names = tuple(column(name) for name in given)
        found = {name: one for one, name in zip(given, names, strict=True) if name in known}
        if len(found) >= _FEWEST_NAMES and max(map(len, found.values())) > 1:
            _check(line[0], given, names, required)
            return Header(names, tuple(given), delimiter)
    return None


def header_by_position(line: Line, names: tuple[str, ...]) -> Header | None:
    """Return what a header would say above a line that has as many fields as there are names, None if it has not.

    Where tabs separate fields, quotes mean nothing.
    """
    text = line[1].decode(errors="replace")
    if names and text.count("\t") == len(names) - 1:
        return Header(names, names, "\t", is_quoted=False)
    delimiter = next((one for one in DELIMITERS if len(split_fields(text, one)) == len(names)), None)
    return Header(names, names, delimiter) if delimiter else None


def is_separator_line(line: Line) -> bool:
    """Whether it is the line `sep=;` that spreadsheets write first."""
    return line[0] == 1 and _SEPARATOR_LINE.fullmatch(line[1].decode(errors="replace")) is not None


def looks_like_a_header(raw: bytes, columns: int) -> bool:
    """Whether a line holds as many names as there are columns, whatever they are."""
    text = raw.decode(errors="replace")
    rows = (split_fields(text, delimiter) for delimiter in DELIMITERS)
    return any(len(names) == columns and looks_like_names(names) for names in rows)


def looks_like_names(fields: Sequence[str]) -> bool:
    """Whether all fields of a line may be names, not one a number or nothing."""
    return all(map(_LIKE_A_NAME.fullmatch, fields))


def fields_by_name(names: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    """Return fields by name, or raise InvalidRow if there are not as many."""
    if len(fields) != len(names):
        raise InvalidRow("columns", f"the row has {len(fields)} columns, not {len(names)}")
    return dict(zip(names, fields, strict=True))


def split_fields(text: str, delimiter: str = ",") -> list[str]:
    """Return a row's fields without the spaces around them; `="1"`, as spreadsheets keep digits, is `1`."""
    if '"' not in text:
        return [field.strip() for field in text.split(delimiter)]
    try:
        fields = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:  # a line end outside quotes
        return [text]
    return [field[2:-1] if field.startswith('="') and field.endswith('"') else field.strip() for field in fields]


def joined_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """Yield lines; those between which a quoted field goes on are one, under the number of the first."""
    ahead = deque[Line]()
    while line := ahead.popleft() if ahead else next(lines, None):
        if b'"' not in line[1] or line[1].count(b'"') % 2 == 0 or not _OPENS_A_QUOTE.search(line[1]):
            yield line
            continue
        following = _to_the_quote(ahead, lines, len(line[1]))
        joined = b"\n".join(raw for _, raw in (line, *following))
        if _is_one_row(joined):
            yield line[0], joined
        else:  # the quote does not end where a field does: it stands for itself, and takes no rows with it
            yield line
            ahead.extendleft(reversed(following))


def _is_one_row(joined: bytes) -> bool:
    """Whether the line ends in it are quoted, and every quote ends where a field does."""
    text = joined.decode(errors="replace")
    for delimiter in DELIMITERS:
        with suppress(csv.Error):
            return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True), None) is not None
    return False


def _to_the_quote(ahead: deque[Line], lines: Iterator[Line], size: int) -> list[Line]:
    """Return the lines up to the next with an odd number of quotes, or as many as one row may have."""
    following: list[Line] = []
    while len(following) < _MOST_LINES_OF_A_ROW and size < MAX_LINE_BYTES:
        line = ahead.popleft() if ahead else next(lines, None)
        if line is None:
            break
        following.append(line)
        size += len(line[1])
        if line[1].count(b'"') % 2:
            break
    return following


def _check(number: int, given: Sequence[str], names: Sequence[str], required: frozenset[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        meant = ", ".join(one for one, name in zip(given, names, strict=True) if name == twice[0])
        raise RepeatedColumnError(f"the header (line {number}) names column {twice[0]} twice ({meant}): remove one")
    if missing := sorted(required - set(names)):
        shown = ", ".join(given[:_NAMES_SHOWN]) + (", ..." if len(given) > _NAMES_SHOWN else "")
        raise InvalidHeaderError(f"the header (line {number}) names no column {', '.join(missing)}; it names {shown}")
