import msgspec
from hypothesis import given
from hypothesis import strategies as st

from model.events import Event
from model.formats import sorting
from model.formats.sorting import sorted_lines


@given(st.lists(st.integers(946_684_800_000, 4_102_444_799_999) | st.just(1_700_000_000_000), max_size=40))
def test_events_are_by_time_and_those_of_one_time_as_they_came(times):
    events = [Event(f"e{number}", "u", "view", ts) for number, ts in enumerate(times)]
    lines = list(sorted_lines(events, memory_bytes=500))
    assert [msgspec.json.decode(line, type=Event) for line in lines] == sorted(events, key=lambda event: event.ts)


def test_more_runs_than_are_merged_at_once_are_merged_in_steps(monkeypatch):
    monkeypatch.setattr(sorting, "_MOST_RUNS", 3)
    events = [Event(f"e{number}", "u", "view", 1_700_000_000_000 + number * 7 % 50) for number in range(100)]
    lines = list(sorted_lines(events, memory_bytes=1))
    assert [msgspec.json.decode(line, type=Event) for line in lines] == sorted(events, key=lambda event: event.ts)
