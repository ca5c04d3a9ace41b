"""Rows of columns: separated values with or without a header, or an object a row, as exports of tables have them.

A header may name the columns in any order, stand below a few lines that are no rows, and come again where files were
joined. Where a header has said otherwise, columns are not read by position.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from model.events import Event
from model.formats.json_rows import parsed_object
from model.formats.own import OwnReading, OwnRow, ToEvent
from model.formats.rows import InvalidHeaderError, InvalidRow, Line, dated, row_text
from model.formats.separated import (
    DELIMITERS,
    MOST_LINES_ABOVE,
    Header,
    fields_by_name,
    header_of,
    is_separator_line,
    joined_lines,
    looks_like_a_header,
    split_fields,
)
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

Row = dict[str, str]
"""A row's texts by column, without the spaces around them."""


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A format of one event a row."""

    columns: tuple[str, ...]
    """Their names, and their order in a file without a header."""
    required: frozenset[str]
    to_event: ToEvent
    """Columns that are not required may be missing."""
    type_column: str
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Other names that a header may give to columns."""

    def read_rows(self, lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
        """Yield an event or a bad row per row; a header, and what stands above it, is none.

        Raises InvalidHeaderError.
        """
        reading = OwnReading(lambda row: row[self.type_column], lambda row: row)
        to_event, table = reading.reader(shop, self.to_event), _Table(self)
        above, is_begun = list[BadRow](), False
        for line in joined_lines(lines):
            row = self._read(table, line, to_event)
            if row is None:
                above.clear()
            elif isinstance(row, BadRow) and not is_begun and len(above) < MOST_LINES_ABOVE:
                above.append(row)
            else:
                if not is_begun and isinstance(row, Event):
                    table.check_names(above)
                is_begun = True
                yield from above
                above.clear()
                yield row
        yield from above

    def own_rows(self, lines: Iterator[Line]) -> Iterator[OwnRow]:
        """Yield what a shop's definition may name in each row."""
        table = _Table(self)
        for line in joined_lines(lines):
            try:
                yield self._own_row(table.row(row_text(line[1])))
            except InvalidRow:
                table.takes_for_header(line)

    def _read(self, table: "_Table", line: Line, to_event: Callable[[Row], Event]) -> Event | BadRow | None:
        """Return what a line is, None for a header."""
        try:
            return dated(to_event(table.row(row_text(line[1]))))
        except InvalidRow as invalid:
            return None if table.takes_for_header(line) else invalid.at(line)

    def _own_row(self, row: Row) -> OwnRow:
        name, own_type = row[self.type_column], None
        try:
            self.to_event(row)
        except InvalidRow:
            self.to_event(row, own_types={name: "other"})  # raises if something else is wrong
            own_type = name
        return OwnRow(own_type, {column: text for column, text in row.items() if column not in self.required})


class _Table:
    """What the lines of a file so far say about its columns."""

    def __init__(self, form: TableFormat) -> None:
        self._form = form
        self._header: Header | None = None
        """None by position."""

    def row(self, text: str) -> Row:
        """Return the row that a line holds, or raise InvalidRow."""
        if text.startswith("{"):
            return self._of_object(text)
        return self._by_position(text) if self._header is None else self._header.fields(text)

    def takes_for_header(self, line: Line) -> bool:
        """Whether a line that is no row is a header, or what a spreadsheet writes above it.

        Raises InvalidHeaderError.
        """
        header = header_of(line, self._form.columns, self._form.required, self._column)
        self._header = header or self._header
        return header is not None or is_separator_line(line)

    def check_names(self, above: Sequence[BadRow]) -> None:
        """Raise InvalidHeaderError if the first event is read by position below what looks like a header."""
        columns = self._form.columns
        lines = [bad.line for bad in above if looks_like_a_header(bad.raw, len(columns))]
        if self._header is None and lines:
            raise InvalidHeaderError(
                f"line {lines[0]} looks like a header, but of other columns than {', '.join(columns)}: rename them"
            )

    def _of_object(self, text: str) -> Row:
        fields = parsed_object(text.encode(), every_digit=True)
        row = {self._column(name): _text(one) for name, one in fields.items()}
        if missing := sorted(self._form.required - row.keys()):
            raise InvalidRow("columns", f"the row has no column {', '.join(missing)}")
        if len(row) < len(fields):
            raise InvalidRow("columns", "the row has a column twice, in different spellings")
        return row

    def _by_position(self, text: str) -> Row:
        columns = self._form.columns
        for delimiter in DELIMITERS:
            fields = split_fields(text, delimiter)
            if len(fields) == len(columns):
                return dict(zip(columns, fields, strict=True))
        return fields_by_name(columns, split_fields(text))

    def _column(self, given: str) -> str:
        name = given.strip().lower()
        plain = re.sub(r"[\s-]+", "_", name)
        plain = self._form.synonyms.get(plain, plain)
        return plain if plain in self._form.columns else name


def _text(given: object) -> str:
    if given is None:
        return ""
    return str(given).lower() if isinstance(given, bool) else str(given).strip()
