"""The rhythm of day and week: the rate of visits by hour, relative to its average."""

from typing import Final

import numpy as np

from model.arrays import Floats

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
_THURSDAY_S: Final = 3 * DAY_S  # the Unix epoch began on a Thursday; weeks here begin on Monday

_HOURS: Final = np.array(
    [14, 9, 6, 5, 5, 7, 14, 26, 38, 46, 52, 56, 62, 60, 56, 54, 56, 62, 74, 88, 98, 94, 68, 34], np.float64
)
_DAYS: Final = np.array([0.96, 0.94, 0.95, 0.97, 1.00, 1.08, 1.20])
_RATES: Final = np.outer(_DAYS, _HOURS).ravel()
RATES: Final[Floats] = _RATES / _RATES.mean()
"""`(168,)` by hour of the week (UTC, from Monday 0:00); 1 on average."""

_HOUR_S: Final = 3600.0
_AT_HOUR: Final = np.arange(len(RATES) + 1) * _HOUR_S
_DONE_AT_HOUR: Final = np.concatenate(([0.0], np.cumsum(RATES))) * _HOUR_S


def since_monday(time_s: Floats) -> Floats:
    """Return the seconds since Monday, 0:00 UTC, of Unix times."""
    return np.asarray((time_s + _THURSDAY_S) % WEEK_S)


def rate_since_monday(seconds: Floats) -> Floats:
    """Return the relative rate at times since a Monday."""
    return np.asarray(RATES[(seconds % WEEK_S // _HOUR_S).astype(np.int64)])


def elapsed(time_s: Floats) -> Floats:
    """Return the integral of the rate from a fixed Monday up to Unix times: operational time, in seconds."""
    weeks, rest = np.divmod(time_s + _THURSDAY_S, WEEK_S)
    return np.asarray(weeks * WEEK_S + np.interp(rest, _AT_HOUR, _DONE_AT_HOUR))


def when(elapsed_s: Floats) -> Floats:
    """Return the Unix times at which `elapsed` reaches the values."""
    weeks, rest = np.divmod(elapsed_s, WEEK_S)
    return np.asarray(weeks * WEEK_S + np.interp(rest, _DONE_AT_HOUR, _AT_HOUR) - _THURSDAY_S)
