"""Horizons: the times within which a purchase counts, `session` or a duration such as `1h`."""

from collections.abc import Collection, Sequence
from typing import Final

SESSION: Final = "session"
SESSION_GAP_MS: Final = 30 * 60 * 1000
"""A session ends when this long passes without an event."""
HORIZONS: Final = (SESSION, "1h", "24h")
"""The standard horizons."""

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_UNIT_WORDS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


def horizon_ms(horizon: str) -> int:
    """Return the milliseconds of a horizon such as `1h`, `30m` or `7d`; raises ValueError."""
    number, unit = horizon[:-1], horizon[-1:]
    if not number.isdigit() or unit not in _UNIT_MS or int(number) == 0:
        raise ValueError(f"horizon {horizon!r} is neither {SESSION!r} nor a duration such as 30m, 1h or 7d")
    return int(number) * _UNIT_MS[unit]


def is_horizon(name: str) -> bool:
    """Whether a name is `session` or a duration."""
    try:
        return name == SESSION or horizon_ms(name) > 0
    except ValueError:
        return False


def check_horizons(horizons: Sequence[str], goals: Collection[str] = ()) -> None:
    """Raise ValueError unless there is at least one horizon, and all are valid, or the name of a goal, and distinct."""
    for horizon in horizons:
        if horizon != SESSION and horizon not in goals:
            horizon_ms(horizon)
    if len(set(horizons)) < max(len(horizons), 1):
        raise ValueError("each horizon may be named once")


def horizon_words(horizon: str) -> str:
    """Return `within 24 hours` for `24h`, `in the rest of the session` for `session`."""
    if horizon == SESSION:
        return "in the rest of the session"
    number, unit = horizon[:-1], _UNIT_WORDS[horizon[-1]]
    return f"within {number} {unit}{'' if number == '1' else 's'}"


def longest_horizon_ms(horizons: Sequence[str]) -> int:
    """Return the longest of the horizons; the session counts as SESSION_GAP_MS, after which it is over."""
    return max(SESSION_GAP_MS if horizon == SESSION else horizon_ms(horizon) for horizon in horizons)
