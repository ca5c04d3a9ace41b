"""How long a loop has made no progress."""

import pytest

from service.errors import RowsRefusedError
from service.liveness import Liveness
from service.metrics import Histogram
from sinks.observe.progress import SECONDS_BOUNDS
from sinks.table import TimedTable
from tests.harness.memory_table import MemoryTable


@pytest.fixture
def liveness(clock):
    return Liveness(clock)


def test_nothing_is_old_before_the_first_turn(liveness, clock):
    clock.now += 900
    assert (liveness.commit_age_seconds, liveness.stalled_seconds, liveness.silent_seconds) == (0, 0, 0)


def test_an_idle_loop_does_not_age_and_a_record_after_hours_is_new(liveness, clock):
    liveness.turned()
    clock.now += 3600
    assert (liveness.commit_age_seconds, liveness.stalled_seconds, liveness.silent_seconds) == (0, 0, 3600)
    liveness.turned()
    liveness.taken(0, 1)
    clock.now += 2
    assert (liveness.commit_age_seconds, liveness.stalled_seconds, liveness.silent_seconds) == (2, 2, 2)


def test_records_that_wait_age_until_a_commit_moves_and_then_again(liveness, clock):
    liveness.taken(0, 10)
    clock.now += 40
    liveness.taken(0, 20)
    assert liveness.commit_age_seconds == 40
    liveness.committed({0: 10})
    clock.now += 3
    assert (liveness.commit_age_seconds, liveness.stalled_seconds) == (3, 3)
    liveness.committed({0: 10})
    assert liveness.commit_age_seconds == 3
    liveness.committed({0: 20})
    assert liveness.commit_age_seconds == 0


def test_rows_taken_or_refused_are_progress_without_a_commit(liveness, clock):
    class Slow(MemoryTable):
        def insert(self, rows, token):
            clock.now += 0.5
            super().insert(rows, token)

    seconds = Histogram(SECONDS_BOUNDS)
    table = TimedTable(Slow(), seconds, liveness, clock)
    liveness.taken(0, 1)
    clock.now += 500
    table.insert([], "nothing")
    assert (liveness.commit_age_seconds, liveness.stalled_seconds, liveness.silent_seconds) == (500.5, 0, 0)
    clock.now += 500
    with pytest.raises(RowsRefusedError):
        table.insert([b"no row"], "bad")
    assert liveness.stalled_seconds == 0
    assert seconds.total == 0.5
