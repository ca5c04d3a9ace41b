from itertools import takewhile

import pytest

from cartcast.demo.pace import Pace
from model.simulator import SimulationSettings, simulate

OPENED_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


def test_without_a_clock_a_seed_gives_the_same_events_on_every_day():
    assert Pace().start_ms == Pace(rate=5).start_ms == SimulationSettings.start_ms


def test_with_a_speed_the_history_ends_when_the_clock_starts():
    pace = Pace(speed=1440, history_hours=48, opened_ms=OPENED_MS)
    assert pace.start_ms == OPENED_MS - 48 * HOUR_MS
    due, events = pace.schedule(), simulate(SimulationSettings(users=300, start_ms=pace.start_ms))
    first_day = list(takewhile(lambda event: event.ts < OPENED_MS + 24 * HOUR_MS, events))
    for event in first_day:
        seconds_after_opening = (event.ts - OPENED_MS) / 1000
        assert due(event) == pytest.approx(seconds_after_opening / 1440)
    assert first_day[0].ts < OPENED_MS - 47 * HOUR_MS
    assert first_day[-1].ts > OPENED_MS + 23 * HOUR_MS


@pytest.mark.parametrize(
    ("pace", "words"),
    [
        (Pace(), "as fast as it goes"),
        (Pace(rate=2000), "2,000 events a second"),
        (Pace(speed=1440, history_hours=48), "an hour of the shop in 2.5 s, after a history of 48 hours"),
    ],
)
def test_a_pace_is_told_in_words(pace, words):
    assert str(pace) == words
