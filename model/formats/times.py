"""From the times of other systems to epoch milliseconds; a time without a zone is UTC.

A time may lie in any year: who reads files refuses what lies outside the years 2000 to 2100.
"""

import datetime
import re
from typing import Final

from model.events import epoch_ms, is_in_years, within_bounds
from model.formats.rows import InvalidRow

_SHORTEST_MOMENT: Final = len("2019-10-01 00:00")
_OFFSET_APART: Final = re.compile(r" ([+-][0-9]{2}:?[0-9]{2})$")
UNITS: Final = {"seconds": 1_000_000, "milliseconds": 1000, "microseconds": 1}
"""Microseconds in each unit of times that are numbers."""


def unix_ms(column: str, text: str, unit: str) -> int:
    """Return the epoch milliseconds of a whole number of `unit` since 1970, or raise InvalidRow.

    `unit` is seconds, milliseconds or microseconds; a fraction of zeros, as pandas writes it, changes nothing. A date
    and time is one in every unit.
    """
    if text[4:5] == "-":
        return moment_ms(column, text)
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) < 20 and not fraction.strip("0")):
        raise InvalidRow(column, f"{column} is not a number of Unix {unit}")
    time_ms = int(whole) * UNITS[unit] // 1000
    if not is_in_years(time_ms):
        meant = next((one for one, of in UNITS.items() if is_in_years(int(whole) * of // 1000)), None)
        if meant:
            raise InvalidRow(column, f"{column} is in {meant}, not in {unit}")
    return within_bounds(time_ms)


def moment_ms(column: str, text: str) -> int:
    """Return the epoch milliseconds of a date and time, or raise InvalidRow.

    It is of RFC 3339, or with a space before `UTC` or the offset.
    """
    try:
        if len(text) < _SHORTEST_MOMENT:
            raise ValueError("no time of day")
        text = _OFFSET_APART.sub(r"\1", text.removesuffix(" UTC"))
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return within_bounds(epoch_ms(moment))
    except (ValueError, OverflowError):
        raise InvalidRow(column, f"{column} is not a date and time such as 2019-10-01T12:00:00Z") from None
