"""Labels: whether the shopper buys within the horizon, and when that is known.

The task (binding): for an event, whether its user has at least one `purchase` with a strictly later timestamp (a) in
the same session, which ends after 30 minutes without an event, and (b) within a duration. Whatever reaches past the
end of the data is unknown, whether or not a purchase was seen, because unknown negatives would make the rest biased.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.arrays import Booleans, Integers
from model.horizons import SESSION, SESSION_GAP_MS, horizon_ms

NEVER: Final = np.iinfo(np.int64).max
"""The time of what does not happen."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels `(events, horizons)`, in the order of their events."""

    bought: Booleans
    known_at_ms: Integers
    """The time from which the label is known: the end of the horizon, whatever happens before."""

    def known_by(self, time_ms: int) -> Booleans:
        """Return which labels are known from data that end at `time_ms`."""
        return np.asarray(self.known_at_ms <= time_ms)


def label_events(users: Integers, time_ms: Integers, is_purchase: Booleans, horizons: Sequence[str]) -> Labels:
    """Label accepted events `(events,)`, given in any order, by their own timestamps."""
    order = np.lexsort((time_ms, users))
    # (events,): when the next purchase happens, and the last event of the session; both back in the given order
    next_ms = np.empty_like(time_ms)
    next_ms[order] = _next_purchase_ms(users[order], time_ms[order], is_purchase[order])
    last_of_session_ms = np.empty_like(time_ms)
    last_of_session_ms[order] = _session_ends_ms(users[order], time_ms[order])
    until_ms, known_at_ms = [], []  # per horizon (events,)
    for horizon in horizons:
        if horizon == SESSION:
            until_ms.append(last_of_session_ms)
            known_at_ms.append(last_of_session_ms + SESSION_GAP_MS)
        else:
            until_ms.append(time_ms + horizon_ms(horizon))
            known_at_ms.append(time_ms + horizon_ms(horizon))
    return Labels(
        bought=next_ms[:, None] <= np.stack(until_ms, axis=1),
        known_at_ms=np.stack(known_at_ms, axis=1),
    )


def next_purchase_rows(users: Integers, time_ms: Integers, is_purchase: Booleans) -> Integers:
    """Return the row of the user's first strictly later purchase, or -1, for events in any order."""
    order = np.lexsort((time_ms, users))
    following = _next_purchases(users[order], time_ms[order], is_purchase[order])
    rows = np.empty_like(following)
    rows[order] = np.where(following < 0, -1, order[following])
    return rows


def _next_purchase_ms(users: Integers, time_ms: Integers, is_purchase: Booleans) -> Integers:
    """Return the time of the user's first strictly later purchase, or NEVER, for events sorted by user and time."""
    following = _next_purchases(users, time_ms, is_purchase)
    return np.where(following < 0, NEVER, time_ms[following])


def _next_purchases(users: Integers, time_ms: Integers, is_purchase: Booleans) -> Integers:
    """Return the row of the user's first strictly later purchase, or -1, for events sorted by user and time."""
    rows = np.full(len(users), -1)
    purchases = np.flatnonzero(is_purchase)
    if len(purchases):
        # The search starts at the end of a run of equal times, so that the purchase is strictly later.
        following = np.searchsorted(purchases, _ends_of_ties(users, time_ms), side="right")
        exists = following < len(purchases)  # (events,)
        candidate = purchases[np.minimum(following, len(purchases) - 1)]
        exists &= users[candidate] == users
        rows[exists] = candidate[exists]
    return rows


def _ends_of_ties(users: Integers, time_ms: Integers) -> Integers:
    """Return the last row with the same user and time."""
    differs = (np.diff(users) != 0) | (np.diff(time_ms) != 0)
    return _ends_of_runs(differs)


def _session_ends_ms(users: Integers, time_ms: Integers) -> Integers:
    """Return the time of the last event of each event's session, for events sorted by user and time."""
    breaks = (np.diff(users) != 0) | (np.diff(time_ms) > SESSION_GAP_MS)
    return time_ms[_ends_of_runs(breaks)]


def _ends_of_runs(breaks: Booleans) -> Integers:
    """Return the last row of each row's run, where `breaks[i]` separates rows i and i + 1."""
    ends = np.append(np.flatnonzero(breaks), len(breaks))
    run = np.concatenate(([0], np.cumsum(breaks)))
    return ends[run]
