import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.arrays import Runs
from model.batch import batch_of, event_hash
from model.core.append import Source, append_events, append_in_order
from model.core.features import NUMERIC_FEATURES
from model.events import EVENT_TYPES, Event
from model.sequence import (
    RECENT_DECAY_SECONDS,
    RECENT_GROUPS,
    new_sequences,
    source_code,
    stored_events,
)
from tests.model.reference_sequence import RING, Happened, Shopper, features_of, hashes, ring_columns

START_MS = 1_700_000_000_123
HALF_HOUR_MS = 30 * 60 * 1000
SOURCE = source_code("shop.events")
USERS = 4

steps_ms = st.sampled_from(
    [0, 1, 999, 1000, HALF_HOUR_MS - 1, HALF_HOUR_MS, HALF_HOUR_MS + 1, -5000, 86_400_000, 40 * 365 * 86_400_000]
) | st.integers(-10_000, 4 * 3_600_000)
prices = st.none() | st.sampled_from([0.0, 0.01, 19.99, 1e308])


@st.composite
def histories(draw, max_events: int = 60):
    """Events of a few users in order of arrival, with repeated ids and times that sometimes run backwards."""
    time_ms, events = START_MS, []
    for _ in range(draw(st.integers(0, max_events))):
        time_ms = min(max(time_ms + draw(steps_ms), 946_684_800_000), 4_102_444_799_999)
        events.append(
            Event(
                event_id=f"e{draw(st.integers(0, 80))}",
                user_id=str(draw(st.integers(0, USERS - 1))),
                type=draw(st.sampled_from(EVENT_TYPES)),
                ts=time_ms,
                item_id=draw(st.sampled_from([None, "", "i1", "i2"])),
                category=draw(st.sampled_from([None, "c"])),
                price=draw(prices),
                text=draw(st.sampled_from([None, "", "red", "a b c d e f"])),
            )
        )
    return events


def append(states, events, offsets, source=SOURCE):
    users = np.array([int(event.user_id) for event in events], np.int64)
    return append_events(states, users, batch_of(events), Source(source, np.array(offsets, np.int64)))


def cut(events, sizes):
    """Yield `(first, events)` of consecutive batches."""
    first = 0
    for size in itertools.chain(sizes, itertools.repeat(len(events) or 1)):
        if first >= len(events):
            return
        yield first, events[first : first + size]
        first += size


def assert_row(appended, row: int, event: Event, happened: Happened) -> None:
    assert appended.time_ms[row] == happened.time_ms
    named = dict(zip(NUMERIC_FEATURES, appended.features.numeric[row].tolist(), strict=True))
    assert named == pytest.approx(features_of(event, happened), rel=1e-5, abs=1e-5)


def assert_state(state, shopper: Shopper) -> None:
    for name in (
        "source",
        "offset",
        "events",
        "sessions",
        "first_time_s",
        "session_events",
        "session_start_s",
        "last_time_ms",
    ):
        assert state[name] == getattr(shopper, name), name
    assert [state["carts"], state["purchases"]] == [shopper.totals.get(group, 0) for group in ("cart", "purchase")]
    users, stored = stored_events(state[None])
    assert users.tolist() == [0] * len(shopper.ring)
    for name, column in ring_columns(shopper.ring).items():
        assert (np.nan_to_num(stored[name], nan=-1) if name == "log_price" else stored[name]).tolist() == column, name
    assert stored["id_hash"].tolist() == hashes(shopper.ids[-RING:])


def assert_equals_the_reference(events, sizes) -> None:
    states, shoppers = new_sequences(USERS), [Shopper() for _ in range(USERS)]
    for first, part in cut(events, sizes):
        offsets = range(100 + first, 100 + first + len(part))
        appended = append(states, part, offsets)
        expected = [
            shoppers[int(event.user_id)].take(event, SOURCE, offset)
            for event, offset in zip(part, offsets, strict=True)
        ]
        rows = appended.rows.tolist()
        assert sorted(rows) == [row for row, outcome in enumerate(expected) if isinstance(outcome, Happened)]
        assert appended.duplicates == expected.count("duplicate")
        assert sorted(appended.late.tolist()) == [row for row, outcome in enumerate(expected) if outcome == "late"]
        assert appended.users.tolist() == sorted(appended.users.tolist())
        for place, row in enumerate(rows):
            assert_row(appended, place, part[row], expected[row])
    for user, shopper in enumerate(shoppers):
        assert_state(states[user], shopper)
        recent = [[shopper.recent.get((g, d), 0.0) for d in RECENT_DECAY_SECONDS] for g in RECENT_GROUPS]
        np.testing.assert_allclose(states[user]["recent"], recent, rtol=1e-5, atol=1e-5)


@given(histories(), st.lists(st.integers(1, 20), max_size=8))
def test_appending_equals_one_event_at_a_time_however_it_is_cut(events, sizes):
    assert_equals_the_reference(events, sizes)


@given(histories(max_events=40), st.lists(st.integers(1, 7), max_size=8))
def test_states_and_values_do_not_depend_on_how_events_are_cut_into_batches(events, sizes):
    whole, chunks = new_sequences(USERS), new_sequences(USERS)
    at_once = append(whole, events, range(len(events)))
    values = {row: at_once.features.numeric[place] for place, row in enumerate(at_once.rows.tolist())}
    for first, part in cut(events, sizes):
        appended = append(chunks, part, range(first, first + len(part)))
        for place, row in enumerate(appended.rows.tolist()):
            np.testing.assert_array_equal(appended.features.numeric[place], values.pop(first + row))
    assert values == {}
    assert chunks.tobytes() == whole.tobytes()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hot_user_of_thousands_of_events_is_appended_like_any_other(seed):
    random, events, time_ms = Random(seed), [], START_MS
    for number in range(3000):
        time_ms += random.choice([0, 40, 900, 20_000, HALF_HOUR_MS, HALF_HOUR_MS + 1])
        name = f"e{max(0, number - random.choice([0, 0, 0, 1, 63, 64, 65]))}"
        user = "1" if random.random() < 0.98 else "0"
        events.append(Event(name, user, random.choice(EVENT_TYPES), time_ms, f"i{number % 9}", f"c{number % 4}"))
    assert_equals_the_reference(events, [2000])


def test_a_session_longer_than_the_ring_is_compared_with_what_the_ring_holds():
    events = [Event(f"e{number}", "0", "view", START_MS + 1000 * number, f"i{number}", "c") for number in range(60)]
    assert_equals_the_reference(events, [60])


def busy(count: int, seed: int = 1, users: int = USERS) -> list[Event]:
    """Events of a few busy users who send many within a second, in order but for some minutes."""
    random, events, time_ms = Random(seed), [], START_MS
    for number in range(count):
        time_ms += random.choice([0, 100, 1000, 30_000])
        late_ms = random.choice([0, 0, 0, 500, 60_000, 400_000])
        events.append(Event(f"e{number}", str(random.randrange(users)), "view", time_ms - late_ms, f"i{number % 9}"))
    return events


@pytest.mark.parametrize(("users", "sizes"), [(1, [2000]), (1, [1] * 50), (USERS, [7] * 100)])
def test_what_is_late_equals_the_reference(users, sizes):
    assert_equals_the_reference(busy(1500, users=users), sizes)


@given(st.integers(0, 50), st.integers(0, 700))
def test_events_that_come_again_from_any_point_on_change_nothing(seed, first):
    events, states = busy(700, seed), new_sequences(USERS)
    append(states, events, range(700))
    before = states.copy()
    again = append(states, events[first:], range(700, 1400 - first))
    assert (len(again), again.duplicates + len(again.late)) == (0, 700 - first)
    before["offset"] = states["offset"]
    assert states.tobytes() == before.tobytes()


def test_an_event_is_late_once_the_state_has_forgotten_one_that_came_later():
    events = [Event(f"e{number}", "0", "view", START_MS + 60_000 * number) for number in range(81)]
    states = new_sequences(1)
    append(states, events, range(81))  # number 80 begins a block: the 32 oldest may be forgotten
    asked = [Event(f"new-{number}", "0", "view", events[number].ts) for number in (31, 32, 80)]
    appended = append(states, asked, range(81, 84))
    assert (appended.late.tolist(), appended.rows.tolist()) == ([0], [1, 2])


def test_a_burst_in_one_millisecond_is_not_late_by_itself():
    events = [Event(f"line-{number}", "0", "purchase", START_MS) for number in range(200)]
    assert len(append(new_sequences(1), events, range(200))) == 200


def test_an_event_of_a_wrong_clock_makes_those_after_it_late_by_no_more_than_their_own_time():
    """Its own time is 20 hours ahead; the shopper goes on, a minute an event."""
    events = [Event(f"e{number}", "0", "view", START_MS + 60_000 * number) for number in range(300)]
    events[10] = Event("ahead", "0", "view", events[10].ts + 20 * 3_600_000)
    appended = append(new_sequences(1), events, range(300))
    assert (len(appended), appended.late.tolist()) == (300, [])


def test_the_uncompiled_loop_does_the_same(monkeypatch):
    events = [
        Event(f"e{n}", str(n % 3), EVENT_TYPES[n % 10], START_MS + 700_000 * n, f"i{n % 5}", "c") for n in range(90)
    ]
    compiled, interpreted = new_sequences(USERS), new_sequences(USERS).view(np.recarray)
    by_machine = append(compiled, events, range(90))
    monkeypatch.setattr("model.core.append.append_in_order", append_in_order.py_func)
    by_interpreter = append(interpreted, events, range(90))
    np.testing.assert_allclose(by_machine.features.numeric, by_interpreter.features.numeric, rtol=1e-6, atol=1e-6)
    assert compiled.tobytes() == interpreted.tobytes()


def views(*names: str, user: str = "0") -> list[Event]:
    return [Event(name, user, "view", START_MS + 1000 * place) for place, name in enumerate(names)]


@pytest.mark.parametrize("sizes", [[], [1] * 70, [64], [65], [30, 35]])
@pytest.mark.parametrize(("others", "is_duplicate"), [(62, True), (63, True), (64, False)])
def test_an_id_is_remembered_for_the_users_last_64_accepted_events(sizes, others, is_duplicate):
    """The repeat comes after `others` events that followed the first."""
    events = views("first", *(f"e{number}" for number in range(others)), "first")
    states = new_sequences(1)
    parts = [append(states, part, range(first, first + len(part))) for first, part in cut(events, sizes)]
    assert sum(part.duplicates for part in parts) == is_duplicate
    assert states["events"][0] == others + 2 - is_duplicate


@pytest.mark.parametrize("number", [0, 1, 31, 63])
@pytest.mark.parametrize(("bit", "is_duplicate"), [(0, True), (27, True), (28, False), (31, False), (32, False)])
def test_ids_are_told_apart_by_the_first_36_bits_of_their_hashes(number, bit, is_duplicate):
    """The hash of the event `number` again, but for one bit, counted from the lowest."""
    states, events = new_sequences(1), views(*(f"e{place}" for place in range(65)))
    append(states, events[:64], range(64))
    batch = batch_of(events[64:])
    batch.event_hashes[0] = event_hash(f"e{number}") ^ (1 << bit)
    appended = append_events(states, np.zeros(1, np.int64), batch, Source(SOURCE, np.array([64])))
    assert appended.duplicates == is_duplicate


@pytest.mark.parametrize("days", [1, 30, 400])
def test_a_stored_time_is_within_0_003_percent_of_the_gap_and_the_last_one_exact(days):
    gap_ms = days * 86_400_000 + 7_000
    events = [Event("a", "0", "view", START_MS), Event("b", "0", "view", START_MS + gap_ms)]
    states = new_sequences(1)
    append(states, events, [0, 1])
    earlier, last = stored_events(states)[1]["time_s"].tolist()
    assert last == events[1].ts // 1000
    assert abs(earlier - events[0].ts // 1000) <= 0.000031 * gap_ms / 1000


def test_duplicates_do_not_push_ids_out_of_the_memory():
    events = views("first", *["second"] * 200, "first")
    appended = append(new_sequences(1), events, range(len(events)))
    assert appended.rows.tolist() == [0, 1]


def test_the_same_id_of_two_users_is_no_duplicate():
    appended = append(new_sequences(2), views("same") + views("same", user="1"), [0, 1])
    assert appended.duplicates == 0


def test_a_batch_of_duplicates_changes_nothing_but_the_offset():
    states = new_sequences(1)
    append(states, views("a", "b"), [0, 1])
    before = states.copy()
    appended = append(states, views("b", "a", "b"), [2, 3, 4])
    assert (len(appended), appended.duplicates) == (0, 3)
    assert states["offset"].tolist() == [4]
    states["offset"] = before["offset"]
    assert states.tobytes() == before.tobytes()


def test_an_empty_batch_changes_nothing():
    states = new_sequences(2)
    before = states.tobytes()
    appended = append(states, [], [])
    assert (len(appended), appended.duplicates, appended.already_applied) == (0, 0, 0)
    assert states.tobytes() == before


def test_an_offset_that_a_state_has_seen_is_not_applied_again():
    states = new_sequences(2)
    append(states, [*views("a", "b"), *views("c", user="1")], [5, 7, 6])
    before = states.tobytes()
    appended = append(states, [*views("x", "y"), *views("z", user="1")], [5, 7, 6])
    assert (len(appended), appended.already_applied, appended.duplicates) == (0, 3, 0)
    assert states.tobytes() == before
    appended = append(states, views("x", "y"), [7, 8])
    assert (appended.rows.tolist(), appended.already_applied) == ([1], 1)


def test_offsets_of_another_topic_are_another_count():
    states = new_sequences(1)
    append(states, views("a"), [1000])
    appended = append(states, views("b"), [3], source=source_code("other.events"))
    assert len(appended) == 1
    assert (states["offset"][0], states["source"][0]) == (3, source_code("other.events"))


@pytest.mark.parametrize(("gap_ms", "session_events"), [(HALF_HOUR_MS, [1, 2]), (HALF_HOUR_MS + 1, [1, 1])])
def test_a_session_ends_after_a_gap_of_more_than_30_minutes(gap_ms, session_events):
    events = [Event("a", "0", "view", START_MS), Event("b", "0", "view", START_MS + gap_ms)]
    numeric = append(new_sequences(1), events, [0, 1]).features.numeric
    log_session_events = numeric[:, NUMERIC_FEATURES.index("log_session_events")]
    np.testing.assert_allclose(log_session_events, np.log1p(session_events) / 3, rtol=1e-6)


def test_an_event_older_than_the_last_happens_with_it():
    events = [Event("a", "0", "view", START_MS), Event("b", "0", "view", START_MS - 86_400_000)]
    appended = append(new_sequences(1), events, [0, 1])
    assert appended.features.numeric[:, NUMERIC_FEATURES.index("log_gap")].tolist() == [0, 0]
    assert appended.time_ms.tolist() == [START_MS, START_MS]


@given(st.lists(st.integers(0, 5), max_size=30).map(sorted))
def test_runs_describe_rows_sorted_by_user(users):
    runs = Runs.of(np.array(users, np.int64))
    grouped = [list(rows) for _, rows in itertools.groupby(range(len(users)), users.__getitem__)]
    assert runs.users.tolist() == sorted(set(users))
    assert runs.starts.tolist() == [rows[0] for rows in grouped]
    assert runs.ends.tolist() == [rows[-1] for rows in grouped]
    assert runs.lengths.tolist() == [len(rows) for rows in grouped]
    assert runs.longest == max(map(len, grouped), default=0)
    assert runs.rank.tolist() == [place for rows in grouped for place in range(len(rows))]
