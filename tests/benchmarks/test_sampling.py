import pytest

from benchmarks.processes import Usage
from benchmarks.results import Speed
from benchmarks.sampling import Sample, Watch, speed_of
from service.errors import LocalStackError


def sample(seconds: float, results: int, cpu: float, broker: float = 0.0, memory: int = 0) -> Sample:
    return Sample(seconds, results, Usage(cpu, memory), Usage(broker, 0))


def test_speed_is_that_between_the_first_warm_sample_and_the_first_complete_one():
    samples = [
        sample(0.0, 0, 0.5),
        sample(3.0, 10, 1.0, memory=5),
        sample(4.0, 1000, 2.0, 0.5, memory=9),
        sample(6.0, 5000, 3.0, 0.9, memory=7),
        sample(9.0, 5000, 8.0, 8.0),
    ]
    assert speed_of(samples, warm_up=900, total=5000) == Speed(
        events_per_second=2000.0,
        program_us=pytest.approx(250.0),
        broker_us=pytest.approx(100.0),
        memory_bytes=9.0,
        start_seconds=3.0,
    )


def test_a_program_that_is_done_between_two_looks_has_no_speed():
    with pytest.raises(LocalStackError, match="more events"):
        speed_of([sample(0, 0, 0), sample(1, 500, 1)], warm_up=100, total=500)


def test_a_watch_ends_when_all_results_are_out():
    counts = iter([0, 3, 8])
    watch = Watch(lambda: next(counts), lambda: Usage(0, 0), lambda: Usage(0, 0), lambda: None)
    watch.until(8)
    assert [each.results for each in watch.samples] == [0, 3, 8]


def test_a_watch_ends_with_the_program():
    def ended() -> None:
        raise LocalStackError("it ended")

    with pytest.raises(LocalStackError, match="it ended"):
        Watch(lambda: 0, lambda: Usage(0, 0), lambda: Usage(0, 0), ended).until(1)
