import pytest

from cartcast.demo.delays import Delays


def test_nothing_to_summarise_before_an_event_meets_its_score() -> None:
    delays = Delays()
    delays.add_event((0, 0), created_ms=1000)
    delays.add_score((1, 0), appended_ms=1000)
    assert delays.summary() is None


@pytest.mark.parametrize("score_first", [True, False])
def test_score_and_event_meet_in_either_order(score_first: bool) -> None:
    delays = Delays()
    if score_first:
        delays.add_score((0, 7), appended_ms=1030)
        delays.add_event((0, 7), created_ms=1000)
    else:
        delays.add_event((0, 7), created_ms=1000)
        delays.add_score((0, 7), appended_ms=1030)
    summary = delays.summary()
    assert summary is not None
    assert summary.p50_ms == summary.p99_ms == summary.max_ms == 30


def test_percentiles_are_of_all_delays() -> None:
    delays = Delays()
    for offset in range(101):
        delays.add_event((0, offset), created_ms=0)
        delays.add_score((0, offset), appended_ms=offset)
    summary = delays.summary()
    assert summary is not None
    assert (summary.p50_ms, summary.p99_ms, summary.max_ms) == (50, 99, 100)


def test_a_limit_forgets_the_oldest_delays() -> None:
    delays = Delays(keep=10)
    for offset in range(100):
        delays.add_event((0, offset), created_ms=0)
        delays.add_score((0, offset), appended_ms=offset)
    summary = delays.summary()
    assert summary is not None
    assert summary.p50_ms == 94.5
