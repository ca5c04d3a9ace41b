"""Tables as CSV that a spreadsheet can open without being taken over."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dashboard.clickhouse import Row

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""Tells spreadsheets that a file is UTF-8."""
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a text for a formula (OWASP, "CSV Injection")."""


def as_csv(rows: Sequence[Row]) -> bytes:
    """Return UTF-8 with a byte order mark, a header line, times in ISO 8601, and an apostrophe before formulas."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.writer(text)
        writer.writerow([_cell(name) for name in rows[0]])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return BYTE_ORDER_MARK + text.getvalue().encode()


def guarded(column: str) -> str:
    """Return the SQL of a text column with the same apostrophe."""
    starts = ", ".join(f"char({ord(start)})" for start in FORMULA_STARTS)
    return f"if(left({column}, 1) IN ({starts}), concat(char(39), {column}), {column}) AS {column}"


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value
