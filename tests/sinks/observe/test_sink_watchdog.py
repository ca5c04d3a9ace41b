"""When a sink counts as stuck, judged with a clock that the test turns."""

import pytest

from service.errors import UnavailableError
from service.liveness import Liveness
from sinks.observe.watchdog import LOOK_SECONDS, Watchdog

LIMIT = 300.0


class Server:
    answers = True

    def __call__(self) -> None:
        if not self.answers:
            raise UnavailableError("away")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def watchdog(clock, server) -> Watchdog:
    parts = {name: Liveness(clock) for name in ("scores", "dead letters")}
    for part in parts.values():
        part.turned()
    return Watchdog(parts, [server], LIMIT, clock)


def pass_time(clock, watchdog, seconds, *, turning=()) -> str | None:
    """Let the watchdog look for so long; return what it says, if anything."""
    for _ in range(int(seconds / LOOK_SECONDS)):
        clock.now += LOOK_SECONDS
        for name in turning:
            watchdog.parts[name].turned()
        if (line := watchdog.look()) is not None:
            return line
    return None


def test_one_part_that_does_not_turn_among_others_that_do_is_enough(clock, watchdog):
    assert pass_time(clock, watchdog, LIMIT, turning=["scores"]) is None
    line = pass_time(clock, watchdog, 2 * LOOK_SECONDS, turning=["scores"])
    assert line is not None
    assert line.startswith("dead letters: not a turn for 300 seconds though Kafka and ClickHouse answer: ")
    assert "sink.stalled_seconds" in line


def test_parts_that_turn_never_end_a_sink(clock, watchdog):
    assert pass_time(clock, watchdog, 10 * LIMIT, turning=["scores", "dead letters"]) is None


def test_what_waits_for_a_server_is_not_stuck_and_has_time_to_turn_when_it_is_back(clock, watchdog, server):
    server.answers = False
    assert pass_time(clock, watchdog, 10 * LIMIT) is None
    server.answers = True
    assert pass_time(clock, watchdog, LOOK_SECONDS) is None
    assert pass_time(clock, watchdog, LIMIT, turning=["scores", "dead letters"]) is None


def test_a_process_that_was_frozen_has_time_to_turn(clock, watchdog):
    assert pass_time(clock, watchdog, LOOK_SECONDS) is None
    clock.now += 2 * LIMIT
    assert watchdog.look() is None
    assert pass_time(clock, watchdog, LOOK_SECONDS) is None
    assert pass_time(clock, watchdog, LOOK_SECONDS) is not None
