"""Ids as files have them: what spreadsheets, data frames and scripts make of an id that was a text."""

import re
from functools import lru_cache
from typing import Final

from model.events import MAX_ID_BYTES
from model.formats.rows import InvalidRow

NO_ID: Final = frozenset(
    {
        "",
        "undefined",
        "null",
        "(null)",
        "<null>",
        "nan",
        "-nan",
        "none",
        "nil",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "nat",
        "\\n",
        "(not set)",
        "[object object]",
        "00000000-0000-0000-0000-000000000000",
    }
)
"""What programs write for nothing, in small letters; the last one is the advertising id of whoever opted out."""
_LONGEST: Final = max(map(len, NO_ID))
_LONGEST_KEPT: Final = 256
"""Ids come again and again: what is found of one that is shorter is kept."""
_EXACT_BELOW: Final = 2**53
"""Whole numbers from here on are not all doubles: what was a number with a point has lost its last digits."""
_FRACTION: Final = re.compile(r"(-?[0-9]+)\.0+", re.ASCII)
_SCIENTIFIC: Final = re.compile(r"(-?[0-9])(?:[.,]([0-9]+))?[eE]([+-]?)([0-9]{1,3})", re.ASCII)


class LostDigits(InvalidRow):
    """An id was read as a double, which does not hold all of its digits; the text that it was read from may."""


def known_id(column: str, text: str) -> str | None:
    """Return the id that a text holds, None if it is blank or a word for nothing.

    A whole number with a fraction of zeros (`12345.0`) is its digits. Raises InvalidRow for an id whose digits are
    lost, and for one that the worker would refuse.
    """
    return _known(column, text) if len(text) < _LONGEST_KEPT else _known.__wrapped__(column, text)


@lru_cache(maxsize=1 << 16)
def _known(column: str, text: str) -> str | None:
    text = text.strip()
    if len(text) <= _LONGEST and text.lower() in NO_ID:
        return None
    if len(text) > MAX_ID_BYTES // 4 and len(text.encode()) > MAX_ID_BYTES:
        raise InvalidRow(column, f"{column} has more than {MAX_ID_BYTES} bytes")
    if text[0] in "-0123456789" and not text.isdigit():
        return _digits(column, text)
    return text


def checked_id(column: str, text: str) -> str:
    """Return an id, or raise InvalidRow also if there is none."""
    found = known_id(column, text)
    if found is None:
        what = "is a word for no value, such as undefined, null or nan" if text.strip() else "is empty"
        raise InvalidRow(column, f"{column} {what}")
    return found


def whole_number_id(column: str, number: float) -> str:
    """Return the digits of a whole number, or raise InvalidRow if a double does not hold them all."""
    if not number.is_integer():
        raise InvalidRow(column, f"{column} is a number with a fraction, not a string")
    if abs(number) >= _EXACT_BELOW:
        raise LostDigits(column, f"{column} was kept as a number with a point: its last digits are lost")
    return str(int(number))


def _digits(column: str, text: str) -> str:
    """Return the digits of an id that was written as a number with a point; any other text as it is."""
    if whole := _FRACTION.fullmatch(text):
        return whole_number_id(column, float(text)) if len(whole[1]) > 15 else whole[1]
    found = _SCIENTIFIC.fullmatch(text)
    if found is None or not (found[2] or found[3]):  # 12E4 and 5e7 are article numbers
        return text
    first, fraction, sign, exponent = found[1], found[2] or "", found[3], int(found[4])
    whole_part, rest = fraction[:exponent], fraction[exponent:]
    if sign == "-" or exponent > 15 or len(fraction) < exponent or rest.strip("0"):
        raise InvalidRow(column, f"{column} is in scientific notation, as of a spreadsheet: its digits are lost")
    return first + whole_part
