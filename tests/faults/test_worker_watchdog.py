"""A worker that hangs ends itself, whatever hangs in it; who takes over scores every event."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.pipeline import Pipeline, pipelines, shoppers

pytestmark = pytest.mark.integration

STALLED_SECONDS = 10
"""Longer than a busy machine takes to let a worker join its group, for which it has as long."""
HANGS = """
import threading, time
from cartcast.__main__ import main
{tampered}
main()
"""
SCORING = """
import streams.app
from model.inference import Scorer
streams.app._SMALL_BYTES = 0  # in a thread, as larger fetches are
score, calls = Scorer.score, 0
def hang(self, steps):
    global calls
    calls += 1
    if calls > 3:
        threading.Event().wait()
    return score(self, steps)
Scorer.score = hang
"""
EVENT_LOOP = """
from streams.pipeline import Pipeline
count, calls = Pipeline.count, 0
def hang(self, fetch, scored):
    global calls
    calls += 1
    if calls > 3:
        time.sleep(1000)
    return count(self, fetch, scored)
Pipeline.count = hang
"""
FOLLOWING = """
import service.kafka
service.kafka.SIGN_OF_LIFE_MS = 0  # as a client whose own thread hangs reports nothing (librdkafka#5476)
"""


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.mark.parametrize(
    ("tampered", "line"),
    [
        (SCORING, f"cartcast: nothing was committed for {STALLED_SECONDS} seconds while records wait: "),
        (EVENT_LOOP, f"cartcast: the event loop has not turned for {STALLED_SECONDS} seconds (in hang, line "),
        (FOLLOWING, f"cartcast: what lanes follow was not read for {STALLED_SECONDS} seconds: "),
    ],
)
def test_a_worker_that_hangs_ends_itself_and_nothing_is_lost(pipeline: Pipeline, tampered: str, line: str) -> None:
    events = shoppers(2000, users=100, seed=12)
    script = "import sys; sys.argv = ['cartcast', 'worker']" + HANGS.format(tampered=tampered)
    hanging = pipeline.start_script(
        script, CARTCAST_WORKER__STALLED_SECONDS=str(STALLED_SECONDS), CARTCAST_WORKER__MAX_BATCH_EVENTS="50"
    )
    pipeline.produce(events)
    assert hanging.process.wait() == 1
    *before, last = hanging.log.read_text().splitlines()
    assert last.startswith(line)
    stacks = "\n".join(before[next(place for place, line in enumerate(before) if "most recent call first" in line) :])
    assert " in hang\n" in stacks or tampered == FOLLOWING
    assert " in end_with_stacks\n" in stacks  # of the thread that ends the process, as of every other
    assert "no event is lost" in last
    pipeline.workers.remove(hanging)

    successor = pipeline.start_worker()
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    pipeline.check_scores()
    assert successor.stop() == 0
