"""How long a part of the sink has not got on."""

import pytest

from service.metrics import Distribution
from sinks.errors import RowsRefusedError
from sinks.memory import MemoryTable
from sinks.observe.progress import SECONDS_BOUNDS
from sinks.pulse import Pulse
from sinks.timed import TimedTable


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pulse(clock):
    return Pulse(clock)


def test_nothing_is_old_before_the_first_turn(pulse, clock):
    clock.now += 900
    assert (pulse.commit_age_seconds, pulse.stalled_seconds, pulse.silent_seconds) == (0, 0, 0)


def test_an_idle_part_does_not_age_and_a_record_after_hours_is_new(pulse, clock):
    pulse.turned(records_wait=False)
    clock.now += 3600
    assert (pulse.commit_age_seconds, pulse.stalled_seconds, pulse.silent_seconds) == (0, 0, 3600)
    pulse.turned(records_wait=True)
    clock.now += 2
    assert (pulse.commit_age_seconds, pulse.stalled_seconds, pulse.silent_seconds) == (2, 2, 2)


def test_records_that_wait_age_until_a_commit_and_then_again(pulse, clock):
    pulse.turned(records_wait=True)
    clock.now += 40
    pulse.turned(records_wait=True)
    assert pulse.commit_age_seconds == 40
    pulse.committed()
    clock.now += 3
    pulse.turned()
    assert (pulse.commit_age_seconds, pulse.stalled_seconds) == (3, 3)
    pulse.turned(records_wait=False)
    assert pulse.commit_age_seconds == 0


def test_rows_taken_or_refused_are_progress_without_a_commit(pulse, clock):
    class Slow(MemoryTable):
        def insert(self, rows, token):
            clock.now += 0.5
            super().insert(rows, token)

    seconds = Distribution(SECONDS_BOUNDS)
    table = TimedTable(Slow(), seconds, pulse, clock)
    pulse.turned(records_wait=True)
    clock.now += 500
    table.insert([], "nothing")
    assert (pulse.commit_age_seconds, pulse.stalled_seconds, pulse.silent_seconds) == (500.5, 0, 0)
    clock.now += 500
    with pytest.raises(RowsRefusedError):
        table.insert([b"no row"], "bad")
    assert pulse.stalled_seconds == 0
    assert seconds.total == 0.5
