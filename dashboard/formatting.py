"""Numbers and times as a reader wants them, and no data as markup."""

import math
from datetime import datetime
from typing import Final

from dashboard import config

UNKNOWN: Final = "-"
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def count(number: float | None) -> str:
    """Return a whole number in full: 12,345."""
    return UNKNOWN if _is_missing(number) else f"{number:,.0f}"


def amount(number: float | None) -> str:
    """Return an amount of money in the shop's currency: 12.34, 12,345 or 1.23 M, and EUR."""
    if number is None or _is_missing(number):
        return UNKNOWN
    if abs(number) >= 1e6:
        digits = f"{number / 1e6:,.2f} M"
    else:
        digits = f"{number:,.2f}" if abs(number) < 100 else f"{number:,.0f}"
    return f"{digits} {config.currency()}".strip()


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of one in percent: 4.2 %."""
    return UNKNOWN if share is None or _is_missing(share) else f"{100 * share:,.{digits}f} %"


def change(now: float | None, before: float | None) -> str | None:
    """Return by how much a count has changed: +4.2 %; None if there was nothing to change."""
    return None if now is None or not before else f"{_tenths(100 * (now - before) / before):+,.1f} %"


def points(now: float | None, before: float | None) -> str | None:
    """Return by how much a share has changed: +0.3 points."""
    return None if now is None or before is None else f"{_tenths(100 * (now - before)):+.1f} points"


def _tenths(number: float) -> float:
    """Return a number rounded to tenths, without the sign of a zero."""
    return round(number, 1) + 0.0


def decimal(number: float | None, digits: int = 3) -> str:
    """Return a plain number: 0.743."""
    return UNKNOWN if _is_missing(number) else f"{number:.{digits}f}"


def milliseconds(number: float | None) -> str:
    """Return a delay: 25 ms, 1.2 s, 3 min."""
    if number is None or _is_missing(number):
        return UNKNOWN
    if number < 1000:
        return f"{number:,.0f} ms"
    return f"{number / 1000:,.1f} s" if number < 120_000 else f"{number / 60_000:,.0f} min"


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit: 3 days."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            whole = round(seconds / unit)
            return f"{whole} {name}{'s' if whole > 1 else ''}"
    return "less than a minute"


def moment(when: datetime) -> str:
    """Return a time as the shop's clocks show it, to the minute: 12 Jan 2026, 18:45."""
    local = config.in_zone(when)
    return f"{local.day} {local:%b %Y, %H:%M}"


def period(since: datetime, until: datetime) -> str:
    """Return both ends and the time zone: 12 Jan 2026, 18:00 to 13 Jan 2026, 18:00 UTC."""
    return f"{moment(since)} to {moment(until)} {config.zone_name()}"


def plural(number: float, one: str, many: str | None = None) -> str:
    """Return a count with its noun: 1 shopper, 2 shoppers."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def _is_missing(number: float | None) -> bool:
    return number is None or math.isnan(number)
