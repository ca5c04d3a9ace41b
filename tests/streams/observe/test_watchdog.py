"""When a worker counts as stuck, judged with a clock that the test turns."""

import pytest

from service.health import Health
from service.liveness import Liveness
from streams.observe.health import worker_health
from streams.observe.watchdog import Watchdog

LIMIT = 120.0


@pytest.fixture
def liveness(clock) -> Liveness:
    liveness = Liveness(clock)
    liveness.rebalanced(assigned=True)
    liveness.turned()
    return liveness


class World:
    """What a watchdog and a judge see beside the liveness."""

    kafka_answers = True
    stopping = False


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def watchdog(liveness, clock, world) -> Watchdog:
    return Watchdog(
        liveness,
        Liveness(clock),
        stalled_seconds=LIMIT,
        drain_seconds=20.0,
        kafka_answers=lambda: world.kafka_answers,
        kafka_answered_since=lambda moment: world.kafka_answers and clock.now > moment,
        stopping=lambda: world.stopping,
        clock=clock,
    )


def pass_time(clock, watchdog, seconds, *, turning=True, each=lambda: None) -> str | None:
    """Let a second pass at a time; return what the watchdog says, if anything."""
    for _ in range(int(seconds)):
        clock.now += 1
        if turning:
            watchdog.liveness.turned()
        each()
        if (line := watchdog.look()) is not None:
            return line
    return None


def test_a_worker_without_records_never_has_to_commit(clock, watchdog, liveness):
    assert pass_time(clock, watchdog, 1000) is None
    assert liveness.commit_age_seconds == 0


def test_commits_that_do_not_advance_while_records_wait_end_the_worker(clock, watchdog, liveness):
    liveness.taken(0, 10)
    liveness.committed({0: 10}, counts=True)
    pass_time(clock, watchdog, 50)
    assert liveness.commit_age_seconds == 0
    liveness.taken(0, 20)
    liveness.committed({0: 10}, counts=False)
    assert pass_time(clock, watchdog, LIMIT) is None
    assert liveness.commit_age_seconds == LIMIT
    line = pass_time(clock, watchdog, 2)
    assert line is not None
    assert line.startswith("nothing was committed for 120 seconds while records wait: ")
    assert "\n" not in line


def test_one_partition_that_stands_still_among_others_that_advance_is_enough(clock, watchdog, liveness):
    liveness.taken("stuck", 5)
    offset = 0

    def others() -> None:
        nonlocal offset
        offset += 1
        liveness.taken("fine", offset + 1)
        liveness.committed({"fine": offset}, counts=True)

    assert pass_time(clock, watchdog, LIMIT, each=others) is None
    assert pass_time(clock, watchdog, 2, each=others) is not None


def test_a_worker_that_commits_more_slowly_than_records_come_gets_on(clock, watchdog, liveness):
    offset = 0

    def commit_a_little() -> None:
        nonlocal offset
        offset += 1
        liveness.taken(0, 1_000_000)
        if offset % 100 == 0:
            liveness.committed({0: offset}, counts=True)

    assert pass_time(clock, watchdog, 1000, each=commit_a_little) is None


def test_while_kafka_keeps_it_waiting_a_worker_is_not_stuck_and_afterwards_has_its_time_again(
    clock, watchdog, liveness, world
):
    liveness.taken(0, 10)
    world.kafka_answers = False
    assert pass_time(clock, watchdog, 10 * LIMIT) is None
    assert liveness.commit_age_seconds == 10 * LIMIT  # the alert must fire all the same
    world.kafka_answers = True
    assert pass_time(clock, watchdog, LIMIT) is None
    assert pass_time(clock, watchdog, 2) is not None


def test_a_kafka_that_went_away_a_moment_ago_is_asked_before_a_worker_ends(clock, watchdog, liveness):
    liveness.taken(0, 10)
    watchdog.kafka_answered_since = lambda _: False  # the last answer was yes, the next one is not there yet
    assert pass_time(clock, watchdog, 2 * LIMIT) is None
    watchdog.kafka_answered_since = lambda moment: clock.now > moment
    assert pass_time(clock, watchdog, 2) is not None


def test_a_long_restore_gets_on_while_records_arrive(clock, watchdog, liveness):
    liveness.taken(0, 10)
    assert pass_time(clock, watchdog, 10 * LIMIT, each=liveness.progressed) is None
    assert pass_time(clock, watchdog, LIMIT + 2) is not None


def test_a_rebalance_forgets_what_waited(clock, watchdog, liveness):
    liveness.taken(0, 10)
    pass_time(clock, watchdog, LIMIT - 1)
    liveness.rebalanced(assigned=True)
    assert pass_time(clock, watchdog, LIMIT + 2) is None


def test_a_worker_to_which_its_group_assigns_nothing_ends(clock, watchdog, liveness):
    liveness.rebalanced(assigned=False)
    assert pass_time(clock, watchdog, LIMIT) is None
    line = pass_time(clock, watchdog, 2)
    assert line is not None
    assert line.startswith("the consumer group has not answered for 120 seconds: ")


def test_while_kafka_is_away_or_the_group_refuses_it_a_worker_without_partitions_is_not_stuck(
    clock, watchdog, liveness, world
):
    liveness.rebalanced(assigned=False)
    world.kafka_answers = False
    assert pass_time(clock, watchdog, 2 * LIMIT) is None
    world.kafka_answers = True
    assert pass_time(clock, watchdog, 2 * LIMIT, each=lambda: liveness.refused("full")) is None
    assert pass_time(clock, watchdog, LIMIT + 2) is not None


@pytest.mark.parametrize("kafka_answers", [False, True])
def test_an_event_loop_that_stands_still_ends_the_worker_whatever_it_waits_for(clock, watchdog, world, kafka_answers):
    world.kafka_answers = kafka_answers
    assert pass_time(clock, watchdog, LIMIT, turning=False) is None
    line = pass_time(clock, watchdog, 2, turning=False)
    assert line is not None
    assert line.startswith("the event loop has not turned for 120 seconds (in ")


def test_what_lanes_follow_has_to_be_read_while_kafka_answers(clock, watchdog, world):
    assert pass_time(clock, watchdog, 2 * LIMIT, each=watchdog.followed.turned) is None
    world.kafka_answers = False
    assert pass_time(clock, watchdog, 2 * LIMIT) is None
    world.kafka_answers = True
    assert pass_time(clock, watchdog, LIMIT) is None
    line = pass_time(clock, watchdog, 2)
    assert line is not None
    assert line.startswith("what lanes follow was not read for 120 seconds: ")


def test_a_process_that_was_stopped_as_a_whole_is_not_stuck(clock, watchdog, liveness):
    liveness.taken(0, 10)
    pass_time(clock, watchdog, 5)
    clock.now += 10_000  # a debugger, a suspended machine
    assert watchdog.look() is None
    assert pass_time(clock, watchdog, LIMIT, turning=False) is None


def test_a_limit_of_zero_is_none(clock, watchdog, liveness):
    watchdog.stalled_seconds = 0
    liveness.taken(0, 10)
    assert pass_time(clock, watchdog, 10 * LIMIT, turning=False) is None


def test_a_drain_that_takes_too_long_is_ended_also_while_kafka_is_away(clock, watchdog, liveness, world):
    world.kafka_answers, world.stopping = False, True
    liveness.taken(0, 10)
    assert pass_time(clock, watchdog, 20, turning=False) is None
    line = pass_time(clock, watchdog, 2, turning=False)
    assert line is not None
    assert line.startswith("the drain took longer than 20 seconds (worker.drain_seconds)")


@pytest.fixture
def parts() -> dict[str, bool]:
    return {"restored": True, "kafka": True, "stopping": False}


@pytest.fixture
def health(liveness, parts) -> Health:
    return worker_health(
        liveness,
        restored=lambda: parts["restored"],
        kafka_answers=lambda: parts["kafka"],
        stopping=lambda: parts["stopping"],
        stalled_seconds=LIMIT,
    )


@pytest.mark.parametrize(
    ("part", "value", "check"),
    [("restored", False, "states"), ("kafka", False, "kafka"), ("stopping", True, "running")],
)
def test_each_condition_of_readiness_is_one_check(health, parts, part, value, check):
    assert health.ready().ok
    parts[part] = value
    checks = health.ready().checks
    assert [name for name, result in checks.items() if result != "ok"] == [check]
    assert health.ready().as_dict()["status"] == "failing"


def test_a_worker_is_not_ready_before_it_is_in_the_group_nor_while_partitions_move(health, liveness):
    liveness.rebalanced(assigned=False)
    assert health.ready().checks["group"] == "no assignment yet"
    assert not health.ready().ok
    liveness.refused("InconsistentGroupProtocolError")
    assert health.ready().checks["group"] == "no assignment yet: refused (InconsistentGroupProtocolError)"
    liveness.rebalanced(assigned=True)
    assert health.ready().ok


def test_a_worker_without_an_assignment_is_not_alive_for_ever(health, liveness, clock):
    liveness.rebalanced(assigned=False)
    liveness.refused("full")
    clock.now += LIMIT + 1
    liveness.turned()
    assert health.live().checks["group"] == "no assignment for 121 seconds: refused (full)"
    liveness.rebalanced(assigned=True)
    assert health.live().ok


def test_a_worker_is_alive_until_its_loop_or_its_commits_stand_still(health, liveness, clock):
    liveness.taken(0, 1)
    clock.now += LIMIT
    assert health.live().ok
    clock.now += 1
    assert health.live().checks == {
        "loop": "has not turned for 121 seconds",
        "commits": "none for 121 seconds while records wait",
        "group": "ok",
    }
    liveness.turned()
    liveness.committed({0: 1}, counts=True)
    assert health.live().ok
