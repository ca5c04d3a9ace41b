"""When the sink should be started again, and when it can store what comes."""

from threading import Event
from types import SimpleNamespace

import pytest

from service.errors import RefusedError, UnavailableError
from service.health import OK
from service.liveness import Liveness
from service.probe import NOT_ASKED, STALE_SECONDS, Probe
from sinks.observe.health import sink_health

STALLED_SECONDS = 60


def answering(text):
    return SimpleNamespace(answer=lambda: text)


def health(clock, *, in_group=True, clickhouse=OK, kafka=OK, outside_seconds=0.0):
    part = SimpleNamespace(liveness=Liveness(clock), outside_seconds=outside_seconds)
    part.liveness.rebalanced(assigned=in_group)
    outside = {"kafka": answering(kafka), "clickhouse": answering(clickhouse)}
    return part.liveness, sink_health({"scores": part}, outside, stalled_seconds=STALLED_SECONDS)


def test_a_sink_that_turns_and_has_nothing_to_do_is_alive(clock):
    liveness, judged = health(clock)
    liveness.turned()
    clock.now += STALLED_SECONDS
    assert judged.live().as_dict() == {"status": "ok", "checks": {"scores": "ok"}}


@pytest.mark.parametrize("records_wait", [False, True])
def test_a_loop_that_stands_still_while_all_outside_answers_is_not_alive(clock, records_wait):
    liveness, judged = health(clock)
    liveness.turned()
    liveness.taken(0, int(records_wait))
    clock.now += STALLED_SECONDS + 1
    assert judged.live().checks == {"scores": "its loop has not turned for 61 seconds"}


@pytest.mark.parametrize("records_wait", [False, True])
def test_a_loop_that_stands_still_in_a_call_to_a_kafka_that_hangs_is_alive(clock, records_wait):
    liveness, judged = health(clock, kafka="has not answered for 31 seconds")
    liveness.turned()
    liveness.taken(0, int(records_wait))
    clock.now += STALLED_SECONDS + 1
    assert judged.live().ok


@pytest.mark.parametrize(("clickhouse", "kafka", "alive"), [(OK, OK, False), ("away", OK, True), (OK, "away", True)])
def test_commits_that_do_not_advance_are_an_end_only_if_nothing_outside_explains_it(clock, clickhouse, kafka, alive):
    liveness, judged = health(clock, clickhouse=clickhouse, kafka=kafka)
    liveness.turned()
    liveness.taken(0, 1)
    clock.now += STALLED_SECONDS + 1
    liveness.turned()
    report = judged.live()
    assert report.ok is alive
    assert alive or "nothing was committed for 61 seconds" in report.checks["scores"]


@pytest.mark.parametrize(("kafka", "alive"), [(OK, False), ("does not answer", True)])
def test_a_sink_that_its_group_does_not_let_in_is_not_alive_while_kafka_answers(clock, kafka, alive):
    liveness, judged = health(clock, kafka=kafka, outside_seconds=STALLED_SECONDS + 1)
    liveness.turned()
    report = judged.live()
    assert report.ok is alive
    assert alive or report.checks["scores"] == "not in its consumer group for 61 seconds, Kafka answers"


def test_ready_is_in_the_group_with_everything_answering(clock):
    assert health(clock)[1].ready().as_dict() == {
        "status": "ok",
        "checks": {"scores": "ok", "kafka": "ok", "clickhouse": "ok"},
    }


def test_the_check_that_fails_is_named(clock):
    assert health(clock, in_group=False)[1].ready().checks["scores"] == "not in its consumer group"
    report = health(clock, clickhouse="does not answer")[1].ready()
    assert report.as_dict()["status"] == "failing"
    assert [name for name, result in report.checks.items() if result != OK] == ["clickhouse"]


def asked(probe):
    """Let it ask once."""
    stop = Event()
    inner = probe._ask

    def ask_once():
        stop.set()
        inner()

    probe._ask = ask_once
    probe.run(stop)
    return probe.answer()


def failing(failure):
    def ask():
        raise failure

    return ask


def test_a_probe_tells_what_happened_without_an_address():
    assert Probe(lambda: None).answer() == NOT_ASKED
    assert asked(Probe(lambda: None)) == OK
    assert asked(Probe(failing(UnavailableError("ClickHouse at http://secret")))) == "does not answer"
    assert "secret" not in asked(Probe(failing(RefusedError("ClickHouse at http://secret refuses user x"))))


def test_an_answer_that_is_old_is_none(clock):
    probe = Probe(lambda: None, clock=clock)
    assert asked(probe) == OK
    clock.now += STALE_SECONDS + 1
    assert probe.answer() == "has not answered for 31 seconds"
