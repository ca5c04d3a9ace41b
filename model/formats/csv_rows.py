"""Rows of comma-separated columns, with or without a header that may name them in any order."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from model.events import Event
from model.formats.own import OwnReading, OwnRow, ToEvent
from model.formats.rows import InvalidRow, Line, content_id, dated, row_text
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

Row = dict[str, str]
"""A row's texts by column, without the spaces around them."""


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """A format of one event per row."""

    columns: tuple[str, ...]
    """Their names, and their order in a file without a header."""
    required: frozenset[str]
    to_event: ToEvent
    """Columns that are not required may be missing."""
    type_column: str

    def read_rows(self, lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
        """Yield an event or a bad row per line; a header is no row."""
        reading = OwnReading(lambda row: row[self.type_column], lambda row: row)
        to_event = reading.reader(shop, self.to_event)
        columns, is_first = self.columns, True
        for line in lines:
            try:
                fields = split_fields(row_text(line[1]))
                if is_first and (header := self._header(fields)):
                    columns = header
                else:
                    yield dated(to_event(self._row(columns, fields)))
            except InvalidRow as invalid:
                yield invalid.at(line)
            is_first = False

    def own_rows(self, lines: Iterator[Line]) -> Iterator[OwnRow]:
        """Yield what a shop's definition may name in each row."""
        columns, is_first = self.columns, True
        for line in lines:
            with suppress(InvalidRow):
                fields = split_fields(row_text(line[1]))
                if is_first and (header := self._header(fields)):
                    columns = header
                else:
                    yield self._own_row(self._row(columns, fields))
            is_first = False

    def _own_row(self, row: Row) -> OwnRow:
        name, own_type = row[self.type_column], None
        try:
            self.to_event(row)
        except InvalidRow:
            self.to_event(row, own_types={name: "other"})  # raises if something else is wrong
            own_type = name
        return OwnRow(own_type, {column: text for column, text in row.items() if column not in self.required})

    def _header(self, fields: list[str]) -> tuple[str, ...] | None:
        """Return the columns that the fields name, if they are names: two known ones are no accident."""
        names = tuple(field.lower() for field in fields)
        return names if len(set(self.columns).intersection(names)) > 1 else None

    def _row(self, columns: tuple[str, ...], fields: list[str]) -> Row:
        if len(fields) != len(columns):
            raise InvalidRow("columns", f"the row has {len(fields)} columns, not {len(columns)}")
        row = dict(zip(columns, fields, strict=True))
        if not self.required <= row.keys():
            missing = ", ".join(sorted(self.required - row.keys()))
            raise InvalidRow("columns", f"the header names no column {missing}")
        return row


def split_fields(text: str) -> list[str]:
    """Return a row's fields without the spaces around them."""
    fields = next(csv.reader([text]), []) if '"' in text else text.split(",")
    return [field.strip() for field in fields]


def row_id(row: Row, time_column: str, time_ms: int) -> str:
    """Return the event id of everything that a row holds, however its time and its columns are ordered."""
    return content_id(str(time_ms), *(row[name] for name in sorted(row) if name != time_column))
