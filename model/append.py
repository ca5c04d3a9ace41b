"""Appending events to sequence states: de-duplication, sessions, recent counts, rings.

Vectorised over a batch of any shape: many users with one event each or one user with thousands cost about the same per
event. However events are divided into batches, the resulting states are equal (up to float rounding).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.arrays import Runs
from model.batch import EventBatch
from model.events import TYPE_CODES
from model.horizons import SESSION_GAP_MS
from model.sequence import RECENT_DECAY_SECONDS, RECENT_GROUPS, REMEMBERED_IDS, RING_EVENT, RING_EVENTS

_GROUP_OF_TYPE: Final = np.full(len(TYPE_CODES), -1, np.int8)
for _group, _name in enumerate(RECENT_GROUPS):
    _GROUP_OF_TYPE[TYPE_CODES[_name]] = _group
_GROUP_OF_TYPE[TYPE_CODES["checkout"]] = RECENT_GROUPS.index("cart")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a batch's events come from; `offsets` `(events,)` increase within a partition."""

    code: int
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Appended:
    """The accepted events of a batch, sorted by user, each user's in order of arrival.

    Every array is `(accepted,)` unless stated. Values are those at the time of the event and include the event itself,
    unless they are named `previous`.
    """

    rows: npt.NDArray[np.int64]
    """Indices into the batch."""
    users: npt.NDArray[np.int64]
    """Indices into the states; ascending."""
    time_ms: npt.NDArray[np.int64]
    """Event time, not earlier than the user's events before it."""
    gap_ms: npt.NDArray[np.int64]
    """Time since the user's previous event; -1 for the first."""
    events: npt.NDArray[np.int64]
    sessions: npt.NDArray[np.int64]
    age_ms: npt.NDArray[np.int64]
    """Time since the user's first event, whose time is truncated to the second."""
    totals: npt.NDArray[np.int64]
    """Number of events of each group so far `(accepted, groups)`."""
    session_events: npt.NDArray[np.int64]
    session_age_ms: npt.NDArray[np.int64]
    recent: npt.NDArray[np.float32]
    """Decayed counts `(accepted, groups, decays)`."""
    since_group_s: npt.NDArray[np.float32]
    """Seconds since the previous event of each group `(accepted, groups)`; NaN for never."""
    type_codes: npt.NDArray[np.uint8]
    item_codes: npt.NDArray[np.uint16]
    category_codes: npt.NDArray[np.uint16]
    token_codes: npt.NDArray[np.uint16]
    """`(accepted, TOKENS)`"""
    log_prices: npt.NDArray[np.float32]
    """log1p of the price, NaN for none."""
    previous_items: npt.NDArray[np.uint16]
    """Items of the up to RING_EVENTS events before this one `(accepted, RING_EVENTS)`, 0 for none, oldest first."""
    previous_types: npt.NDArray[np.uint8]
    previous_categories: npt.NDArray[np.uint16]
    previous_times_s: npt.NDArray[np.uint32]
    duplicates: int
    """Events left out because their user had sent the same event id before."""
    already_applied: int
    """Events left out because their user's state had seen a later source offset: fetched again after a crash."""

    def __len__(self) -> int:
        return len(self.rows)


def append_events(
    states: npt.NDArray[np.void], users: npt.NDArray[np.int64], batch: EventBatch, source: Source
) -> Appended:
    """Append a batch to the `(users,)` SEQUENCE records in place; `users[i]` is the record of the batch's event i.

    Duplicates and events already applied change nothing but the state's source offset.
    """
    order = np.argsort(users, kind="stable")  # (events,) by user, each user's in order of arrival
    fresh = order[~_already_applied(states, users[order], source, order)]
    duplicate = _duplicates(states, users[fresh], batch.event_hashes[fresh])
    rows = fresh[~duplicate]  # (accepted,)
    _advance_offsets(states, users[order], source, order)
    return _append_accepted(
        states, users[rows], rows, batch, duplicates=int(duplicate.sum()), already_applied=len(order) - len(fresh)
    )


def _already_applied(
    states: npt.NDArray[np.void], users: npt.NDArray[np.int64], source: Source, order: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    same_source = states["source"][users] == source.code
    applied: npt.NDArray[np.bool_] = same_source & (source.offsets[order] <= states["offset"][users])
    return applied


def _advance_offsets(
    states: npt.NDArray[np.void], users: npt.NDArray[np.int64], source: Source, order: npt.NDArray[np.int64]
) -> None:
    runs = Runs.of(users)
    touched, last = runs.users, source.offsets[order][runs.ends]
    same_source = states["source"][touched] == source.code
    states["offset"][touched] = np.where(same_source, np.maximum(last, states["offset"][touched]), last)
    states["source"][touched] = source.code


def _duplicates(
    states: npt.NDArray[np.void], users: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """Return which events repeat one of their user's last REMEMBERED_IDS accepted event ids `(events,)`.

    Whole-array operations find the users who may have repeated an id, nearly always nobody. Their events are checked
    one at a time, because whether an id is still remembered depends on which events in between were accepted.
    """
    duplicate = np.zeros(len(users), np.bool_)
    # Suspect: the id is among the state's remembered ones, or twice in this batch.
    suspects = (states["event_hashes"][users] == hashes[:, None]).any(axis=1)
    by_hash = np.lexsort((hashes, users))
    repeated = (np.diff(users[by_hash]) == 0) & (np.diff(hashes[by_hash]) == 0)
    suspects[by_hash[1:][repeated]] = True
    if not suspects.any():
        return duplicate
    for user in np.unique(users[suspects]):
        start, stop = np.searchsorted(users, [user, user + 1])
        remembered = states["event_hashes"][user].tolist()
        for row in range(start, stop):
            if (event_hash := int(hashes[row])) in remembered[-REMEMBERED_IDS:]:
                duplicate[row] = True
            else:
                remembered.append(event_hash)
    return duplicate


def _append_accepted(  # noqa: PLR0913 - the counts travel with the result
    states: npt.NDArray[np.void],
    users: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    batch: EventBatch,
    *,
    duplicates: int,
    already_applied: int,
) -> Appended:
    runs = Runs.of(users)
    before = states[runs.users]  # (runs,) copies; written back at the end

    # Time and sessions, (accepted,) each. Event times never decrease; a gap above SESSION_GAP_MS starts a session.
    first_ever = (before["events"] == 0)[runs.index] & (runs.rank == 0)
    time_ms = _running_time(batch.event_time_ms[rows], before["last_time_ms"], runs)
    time_s = time_ms // 1000
    gap_ms = time_ms - runs.shifted(time_ms, before["last_time_ms"])
    gap_ms[first_ever] = -1
    begins_session = (gap_ms > SESSION_GAP_MS) | first_ever
    session_events, session_start_s = _sessions(time_s, begins_session, before, runs)
    sessions = before["sessions"][runs.index] + runs.running_sum(begins_session.astype(np.int64))
    first_time_s = np.where(before["events"] == 0, time_s[runs.starts], before["first_time_s"])

    # Counts by group of event types: all-time and decayed, and when the group was last seen.
    groups = _GROUP_OF_TYPE[batch.type_codes[rows]]  # (accepted,) -1 for none
    is_of_group = groups[:, None] == np.arange(len(RECENT_GROUPS))  # (accepted, groups)
    totals = before["totals"][runs.index] + runs.running_sum(is_of_group.astype(np.int64))
    recent = _decayed_counts(groups, gap_ms, before["recent"], runs)  # (accepted, groups, decays)
    last_seen_s = _last_seen(groups, time_s, before["last_seen_s"], runs)  # (accepted, groups)
    previous_seen_s = runs.shifted(last_seen_s, before["last_seen_s"])
    events = before["events"][runs.index].astype(np.int64) + runs.rank + 1

    # The ring: what preceded each event, and what each user's ring holds after the batch.
    log_prices = np.log1p(batch.prices[rows]).astype(np.float32)
    ring_events = _ring_events(batch, rows, time_s, log_prices)
    windows, ring = _windows(before["ring"], ring_events, runs)  # (accepted, RING_EVENTS), (runs, RING_EVENTS)

    # Each user's state is that after the last event of the run.
    after = before
    after["events"] = events[runs.ends]
    after["sessions"] = sessions[runs.ends]
    after["first_time_s"] = first_time_s
    after["totals"] = totals[runs.ends]
    after["session_events"] = session_events[runs.ends]
    after["session_start_s"] = session_start_s[runs.ends]
    after["last_time_ms"] = time_ms[runs.ends]
    after["recent"] = recent[runs.ends]
    after["last_seen_s"] = last_seen_s[runs.ends]
    after["event_hashes"] = _latest(before["event_hashes"], batch.event_hashes[rows], runs)
    after["ring"] = ring
    states[runs.users] = after

    return Appended(
        rows=rows,
        users=users,
        time_ms=time_ms,
        gap_ms=gap_ms,
        events=events,
        sessions=sessions,
        age_ms=time_ms - first_time_s[runs.index] * 1000,
        totals=totals,
        session_events=session_events,
        session_age_ms=time_ms - session_start_s * 1000,
        recent=recent,
        since_group_s=np.where(previous_seen_s == 0, np.nan, time_s[:, None] - previous_seen_s).astype(np.float32),
        type_codes=batch.type_codes[rows],
        item_codes=batch.item_codes[rows],
        category_codes=batch.category_codes[rows],
        token_codes=batch.token_codes[rows],
        log_prices=log_prices,
        previous_items=windows["item"],
        previous_types=windows["type"],
        previous_categories=windows["category"],
        previous_times_s=windows["time_s"],
        duplicates=duplicates,
        already_applied=already_applied,
    )


def _running_time(
    event_time_ms: npt.NDArray[np.int64], last_time_ms: npt.NDArray[np.int64], runs: Runs
) -> npt.NDArray[np.int64]:
    """Return the running maximum of each user's times: a late event counts as simultaneous with the one before it."""
    time_ms = event_time_ms.copy()
    time_ms[runs.starts] = np.maximum(time_ms[runs.starts], last_time_ms)
    if not len(time_ms):
        return time_ms
    earliest = time_ms.min()
    floor = runs.index * (time_ms.max() - earliest + 1)  # puts each run above all times of the run before
    running: npt.NDArray[np.int64] = np.maximum.accumulate(floor + (time_ms - earliest)) - floor + earliest
    return running


def _sessions(
    time_s: npt.NDArray[np.int64], is_first: npt.NDArray[np.bool_], before: npt.NDArray[np.void], runs: Runs
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the position of each event in its session, from 1, and the session's start."""
    first_row = runs.last_row_where(is_first)
    began_earlier = first_row < 0
    row = np.arange(len(runs.index))
    number = np.where(began_earlier, before["session_events"][runs.index] + runs.rank + 1, row - first_row + 1)
    start_s = np.where(began_earlier, before["session_start_s"][runs.index], time_s[first_row])
    return number, start_s


def _decayed_counts(
    groups: npt.NDArray[np.int8], gap_ms: npt.NDArray[np.int64], before: npt.NDArray[np.float32], runs: Runs
) -> npt.NDArray[np.float32]:
    """Solve count[k] = exp(-gap[k] / decay) * count[k - 1] + (1 if the group is event k's) for every run at once.

    Steps of a linear recurrence compose associatively, so a parallel scan of log2(longest run) passes over the batch is
    enough (Hillis and Steele, "Data parallel algorithms", 1986). Returns `(n, groups, decays)`.
    """
    decays_ms = np.array(RECENT_DECAY_SECONDS, np.float64) * 1000.0
    factor = np.exp(-np.maximum(gap_ms, 0)[:, None] / decays_ms).astype(np.float32)[:, None, :]  # (n, 1, decays)
    count = np.repeat((groups[:, None] == np.arange(len(RECENT_GROUPS)))[:, :, None], len(decays_ms), axis=2)
    count = count.astype(np.float32)  # (n, groups, decays)
    count[runs.starts] += factor[runs.starts] * before
    factor[runs.starts] = 0.0  # nothing reaches over the start of a run
    step = 1  # after each pass, (count, factor) of a row cover the 2 * step rows up to it
    while step < runs.longest:
        count[step:] += factor[step:] * count[:-step]
        factor[step:] = factor[step:] * factor[:-step]
        step *= 2
    return count


def _last_seen(
    groups: npt.NDArray[np.int8], time_s: npt.NDArray[np.int64], before: npt.NDArray[np.uint32], runs: Runs
) -> npt.NDArray[np.int64]:
    """Return when each group was last seen, this event included `(n, groups)`; 0 for never."""
    seen = before[runs.index].astype(np.int64)
    for group in range(len(RECENT_GROUPS)):
        row = runs.last_row_where(groups == group)
        seen[:, group] = np.where(row < 0, seen[:, group], time_s[row])
    return seen


def _ring_events(
    batch: EventBatch, rows: npt.NDArray[np.int64], time_s: npt.NDArray[np.int64], log_prices: npt.NDArray[np.float32]
) -> npt.NDArray[np.void]:
    ring_events = np.zeros(len(rows), RING_EVENT)
    ring_events["time_s"] = time_s
    ring_events["item"] = batch.item_codes[rows]
    ring_events["category"] = batch.category_codes[rows]
    ring_events["price"] = np.minimum(log_prices, np.finfo(np.float16).max)
    ring_events["type"] = batch.type_codes[rows]
    ring_events["tokens"] = batch.token_codes[rows]
    return ring_events


def _windows(
    ring: npt.NDArray[np.void], events: npt.NDArray[np.void], runs: Runs
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
    """Return the RING_EVENTS events before each event `(n, RING_EVENTS)`, and the rings after the batch."""
    timeline, positions = _timeline(ring, events, runs)
    return timeline[positions - RING_EVENTS], timeline[positions[runs.ends] - RING_EVENTS + 1]


def _latest(memory: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint64], runs: Runs) -> npt.NDArray[np.uint64]:
    """Return each user's last REMEMBERED_IDS hashes after the batch."""
    timeline, positions = _timeline(memory, hashes, runs)
    return timeline[positions[runs.ends] - REMEMBERED_IDS + 1]


def _timeline(
    memory: npt.NDArray[Any], events: npt.NDArray[Any], runs: Runs
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Lay out each user's memory `(users, slots)` followed by the user's new events `(n,)`, one user after the other.

    Returns all windows of `slots` neighbours, and the position of each event `(n,)`: window `position - slots` is what
    preceded the event, window `position - slots + 1` ends with it.
    """
    slots = memory.shape[1]
    line = np.zeros(memory.size + len(events) + slots, memory.dtype)
    line[((runs.starts + slots * np.arange(len(runs.starts)))[:, None] + np.arange(slots))] = memory
    positions = np.arange(len(events)) + slots * (runs.index + 1)
    line[positions] = events
    return np.lib.stride_tricks.sliding_window_view(line, slots), positions
