"""Labels: whether the shopper buys, or does what a goal asks, within a time, and when that is known.

The task (binding): for an event, whether its user has at least one `purchase` (of a goal: event that meets it) with a
strictly later timestamp (a) in the same session, which ends after 30 minutes without an event, or (b) within a
duration. Whatever reaches past the end of the data is unknown, whether or not one was seen, because unknown negatives
would make the rest biased. Money: what all strictly later purchases within the time are worth together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.horizons import SESSION, SESSION_GAP_MS, horizon_ms

NEVER: Final = np.iinfo(np.int64).max
"""The time of what does not happen."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels `(events, horizons)`, in the order of their events."""

    bought: Booleans
    """Whether a purchase, or what a goal asks, follows."""
    known_at_ms: Integers
    """The time from which the label is known: the end of the horizon, whatever happens before."""

    def known_by(self, time_ms: int) -> Booleans:
        """Return which labels are known from data that end at `time_ms`."""
        return np.asarray(self.known_at_ms <= time_ms)


def label_events(users: Integers, time_ms: Integers, is_positive: Booleans, horizons: Sequence[str]) -> Labels:
    """Label accepted events `(events,)`, given in any order, by their own timestamps.

    `is_positive` are the purchases `(events,)`, or the events that count for each column `(events, horizons)`.
    """
    order = np.lexsort((time_ms, users))
    ordered_users, ordered_ms = users[order], time_ms[order]
    is_ordered = is_positive.reshape(len(users), -1)[order]  # (events, 1 or horizons)
    # (events, 1 or horizons): when the next one happens, and (events,): the last event of the session; as given
    next_ms = np.empty(is_ordered.shape, np.int64)
    for column in range(is_ordered.shape[1]):
        next_ms[order, column] = _next_purchase_ms(ordered_users, ordered_ms, is_ordered[:, column])
    last_of_session_ms = np.empty_like(time_ms)
    last_of_session_ms[order] = _session_ends_ms(ordered_users, ordered_ms)
    spans = [_span(time_ms, last_of_session_ms, horizon) for horizon in horizons]
    until_ms, known_at_ms = (np.stack(times, axis=1) for times in zip(*spans, strict=True))
    return Labels(bought=next_ms <= until_ms, known_at_ms=known_at_ms)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What follows each event `(events,)`, in money, and when that is known."""

    amounts: Floats
    known_at_ms: Integers


def amounts_after(users: Integers, time_ms: Integers, values: Floats, horizon: str) -> Amounts:
    """Return the sum of the values `(events,)` of the user's strictly later events within a horizon, in any order."""
    order = np.lexsort((time_ms, users))
    users, ordered_ms = users[order], time_ms[order]
    until_ms, known_at_ms = _span(ordered_ms, _session_ends_ms(users, ordered_ms), horizon)
    # Each user's times are lifted above those of the user before, so that one search finds the last row within.
    first_ms, step_ms = ordered_ms.min(), int(np.ptp(ordered_ms)) + 2
    base_ms = (users - users[0]) * step_ms
    lifted = base_ms + ordered_ms - first_ms
    ends = np.searchsorted(lifted, base_ms + np.minimum(until_ms - first_ms, step_ms - 2), side="right") - 1
    totals = np.cumsum(values[order].astype(np.float64))
    found, known = np.empty(len(users)), np.empty_like(time_ms)
    found[order] = (totals[ends] - totals[_ends_of_ties(users, ordered_ms)]).clip(min=0.0)
    known[order] = known_at_ms
    return Amounts(found, known)


def _span(time_ms: Integers, last_of_session_ms: Integers, horizon: str) -> tuple[Integers, Integers]:
    """Return until when an event counts, and when no more can come `(events,)`."""
    if horizon == SESSION:
        return last_of_session_ms, last_of_session_ms + SESSION_GAP_MS
    return time_ms + horizon_ms(horizon), time_ms + horizon_ms(horizon)


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
