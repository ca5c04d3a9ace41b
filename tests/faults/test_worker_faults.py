"""Workers that are killed, join and leave: no score lost, none twice, none different."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.pipeline import Pipeline, pipelines, shoppers

pytestmark = pytest.mark.integration


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


def test_a_killed_worker_loses_and_repeats_nothing(pipeline: Pipeline) -> None:
    events = shoppers(20_000, users=1500, seed=4)
    distinct = len({event.event_id for event in events})
    pipeline.produce(events)
    for share in (0.15, 0.45, 0.75):
        worker = pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
        pipeline.wait_for_scores(int(distinct * share))
        worker.kill()
    last = pipeline.start_worker()
    pipeline.wait_for_scores(distinct)
    pipeline.check_scores()
    assert last.stop() == 0


def test_two_workers_share_partitions_and_one_leaves(pipeline: Pipeline) -> None:
    events = shoppers(16_000, users=1000, seed=5)
    distinct = len({event.event_id for event in events})
    first = pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
    second = pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
    pipeline.wait_until(lambda: _share_partitions(first.events("ready"), second.events("ready")), "a shared assignment")

    pipeline.produce(events[: len(events) // 2])
    theirs = [worker.events("ready")[-1]["partitions"] for worker in (first, second)]
    for partitions in theirs:
        pipeline.wait_until(lambda: pipeline.count(pipeline.topics.scores, partitions) > 0, "scores of each")  # noqa: B023
    assert second.stop() == 0
    assert second.events("stopped")[0]["scored"] > 0
    pipeline.produce(events[len(events) // 2 :])
    pipeline.wait_for_scores(distinct)

    pipeline.check_scores()
    assert first.stop() == 0


def test_a_worker_takes_over_from_one_that_is_killed(pipeline: Pipeline) -> None:
    events = shoppers(16_000, users=1000, seed=6)
    distinct = len({event.event_id for event in events})
    first = pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
    second = pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
    pipeline.wait_until(lambda: _share_partitions(first.events("ready"), second.events("ready")), "a shared assignment")
    pipeline.produce(events)
    pipeline.wait_for_scores(distinct // 6)
    first.kill()
    pipeline.wait_for_scores(distinct)

    pipeline.check_scores()
    assert second.stop() == 0


def _share_partitions(*ready: list[dict[str, object]]) -> bool:
    return all(lines and len(lines[-1]["partitions"]) == 2 for lines in ready)


def test_a_worker_refuses_results_of_an_earlier_events_topic(pipeline: Pipeline) -> None:
    """Their offsets would make the worker and the sink take new events for repeats."""
    first = pipeline.start_worker()
    pipeline.produce(shoppers(500, users=20, seed=7))
    pipeline.wait_for_scores(500)
    assert first.stop() == 0
    pipeline.recreate(pipeline.topics.events)
    pipeline.produce(shoppers(600, users=20, seed=8))

    second = pipeline.start_worker()
    assert second.process.wait() == 1
    (line,) = [line for line in second.log.read_text().splitlines() if line.startswith("cartcast: ")]
    assert f"topic {pipeline.topics.events} was created again" in line
    assert len(pipeline.read(pipeline.topics.scores)) == 500
