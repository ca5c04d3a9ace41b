from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.batch import batch_of
from model.core.append import Source, append_events
from model.core.merge import NOWHERE, merge_sequences
from model.events import EVENT_TYPES, Event
from model.horizons import SESSION_GAP_MS
from model.sequence import REMEMBERED_IDS, RING_EVENTS, new_sequences, stored_events

START_MS = 1_700_000_000_000
TARGET, SOURCE = range(2)
SUMS = ("events", "carts", "purchases", "first_time_s", "last_time_ms", "last_seen_s")


def shopper(seed: int, count: int) -> list[Event]:
    """One shopper's events, in order, close enough for a ring, which has gaps of up to nine hours exactly."""
    draw, time_ms, events = Random(seed), START_MS, []
    for number in range(count):
        time_ms += 1000 * draw.choice([1, 20, 60, 600, 1500, 1800, 1801])
        events.append(
            Event(
                event_id=f"e{number}",
                user_id="u",
                type=draw.choice(EVENT_TYPES),
                ts=time_ms,
                item_id=draw.choice([None, "i1", "i2", "i3"]),
                category=draw.choice([None, "c"]),
                price=draw.choice([None, 9.99]),
                text=draw.choice([None, None, None, f"red{number}"]),
            )
        )
    return events


def sequence_of(*parts: list[Event]) -> np.ndarray:
    """The state of one shopper after some events, `(1,)`."""
    sequence = new_sequences(1)
    for events in parts:
        start = int(sequence["offset"][0]) + 1
        offsets = np.arange(start, start + len(events))
        append_events(sequence, np.zeros(len(events), np.int64), batch_of(events), Source(7, offsets))
    return sequence


def merged(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    joined = target.copy()
    merge_sequences(joined, source, np.empty((1, RING_EVENTS), np.int64))
    return joined


def split(events: list[Event], draw: Random) -> tuple[list[Event], list[Event]]:
    to = [draw.random() < 0.5 for _ in events]
    return [e for e, first in zip(events, to, strict=True) if first], [
        e for e, first in zip(events, to, strict=True) if not first
    ]


def ring_of(sequence: np.ndarray) -> bytes:
    return stored_events(sequence)[1].tobytes()


def remembered(sequence: np.ndarray, events: list[Event]) -> list[bool]:
    """Of each event, whether sending it again is a repeat."""
    offset = int(sequence["offset"][0])
    again = [
        append_events(
            sequence.copy(), np.zeros(1, np.int64), batch_of([event]), Source(7, np.array([offset + 1]))
        ).duplicates
        for event in events
    ]
    return [bool(one) for one in again]


@given(st.integers(0, 100), st.integers(0, 10**6))
def test_two_halves_of_a_shopper_make_the_whole_one(count, seed):
    events = shopper(seed, count)
    ours, theirs = split(events, Random(seed))
    whole, joined = sequence_of(events), merged(sequence_of(ours), sequence_of(theirs))
    for name in SUMS:
        assert joined[name].tolist() == whole[name].tolist(), name
    assert ring_of(joined) == ring_of(whole)
    assert joined["recent"][0] == pytest.approx(whole["recent"][0], rel=1e-4, abs=1e-6)
    kept = events[-RING_EVENTS:]
    assert remembered(joined, kept) == [True] * len(kept)
    assert remembered(joined, events).count(True) >= min(len(events), REMEMBERED_IDS - 15)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 10**6))
def test_a_login_after_all_anonymous_events_has_the_sessions_of_one_shopper(before, after, seed):
    events = shopper(seed, before + after)
    known, anonymous = events[:before], events[before:]
    whole, joined = sequence_of(events), merged(sequence_of(known), sequence_of(anonymous))
    touch = anonymous[0].ts - known[-1].ts <= SESSION_GAP_MS
    of_source = sequence_of(anonymous)
    if not touch or of_source["sessions"][0] == 1:
        assert joined["sessions"][0] == whole["sessions"][0]
        assert joined["session_events"][0] == whole["session_events"][0]
        assert joined["session_start_s"][0] == whole["session_start_s"][0]


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 10**6))
def test_events_after_a_merge_go_on_as_if_it_had_always_been_one(ours, theirs, seed):
    events = shopper(seed, ours + theirs + 50)
    past, future = events[: ours + theirs], events[ours + theirs :]
    known, anonymous = split(past, Random(seed))
    joined, whole = merged(sequence_of(known), sequence_of(anonymous)), sequence_of(past)
    joined["offset"] = whole["offset"]
    for state in (joined, whole):
        offsets = len(past) + np.arange(len(future))
        accepted = append_events(state, np.zeros(len(future), np.int64), batch_of(future), Source(7, offsets))
        assert (len(accepted), accepted.duplicates, len(accepted.late)) == (len(future), 0, 0)
    assert ring_of(joined) == ring_of(whole)
    assert all(remembered(joined, events[-REMEMBERED_IDS + 16 :]))


def test_what_no_state_remembers_any_more_is_late_and_not_scored_twice():
    events = shopper(3, 200)
    known, anonymous = split(events, Random(3))
    joined = merged(sequence_of(known), sequence_of(anonymous))
    repeated = remembered(joined, events)
    for event, is_repeat in zip(events, repeated, strict=True):
        sequence, users = joined.copy(), np.zeros(1, np.int64)
        found = append_events(sequence, users, batch_of([event]), Source(7, np.array([10**6])))
        assert is_repeat or len(found.late) == 1


def test_a_blank_state_takes_over_everything_and_gives_nothing():
    events, blank = sequence_of(shopper(1, 90)), new_sequences(1)
    taken = merged(blank, events)
    for name in set(events.dtype.names) - {"source", "offset", "ids", "id_ends", "forgotten_s", "block_latest_s"}:
        assert taken[name].tobytes() == events[name].tobytes(), name
    kept = merged(events, blank)
    assert ring_of(kept) == ring_of(events)
    assert all(kept[name].tolist() == events[name].tolist() for name in SUMS)


def test_origins_say_which_ring_each_event_was_in():
    known, anonymous = split(shopper(5, 20), Random(5))
    target, source = sequence_of(known), sequence_of(anonymous)
    origins = np.empty((1, RING_EVENTS), np.int64)
    items = np.concatenate((target["ring_items"][0], source["ring_items"][0]))
    joined = target.copy()
    merge_sequences(joined, source, origins)
    filled = origins[0] != NOWHERE
    assert filled.sum() == 20
    assert joined["ring_items"][0][filled].tolist() == items[origins[0][filled]].tolist()
