"""A new version is rolled out over two workers and the sink, one after the other, while events keep coming."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cartcast.settings import Settings
from model.events import Event
from service.clickhouse_settings import ClickHouseSettings
from tests.harness.pipeline import PROPENSITIES, Pipeline, WorkerProcess, pipelines, shoppers
from tests.harness.ports import new_port
from tests.harness.sink_process import SinkProcess, Stored, pipeline_settings

pytestmark = pytest.mark.integration

PER_SECOND = 200
COMPARED = ("user_id", "event_id", "event_type", "event_time", "model", "source_timestamp", "scored_at")


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def settings(kafka: str, database: ClickHouseSettings, topic_prefix: str) -> Settings:
    return pipeline_settings(kafka, database.url, topic_prefix, database=database.database)


class Load:
    """Sends events in a thread, twice a second, and remembers which."""

    def __init__(self, pipeline: Pipeline, events: Sequence[Event]) -> None:
        self.sent: list[Event] = []
        self._pipeline = pipeline
        self._events = events
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            portion = self._events[len(self.sent) : len(self.sent) + PER_SECOND // 2]
            self._pipeline.produce(portion)
            self.sent.extend(portion)


def start(pipeline: Pipeline, number: int, port: int) -> WorkerProcess:
    """Start a worker as a StatefulSet does: each pod has its own instance id, also after a restart."""
    return pipeline.start_worker(CARTCAST_WORKER__INSTANCE_ID=f"worker-{number}", CARTCAST_WORKER__WEB_PORT=str(port))


def test_a_rolling_restart_under_load_loses_and_doubles_nothing(pipeline: Pipeline, settings: Settings) -> None:
    load = Load(pipeline, shoppers(60_000, users=800, seed=11))
    stored = Stored(settings)
    ports = [new_port(), new_port()]
    workers = [start(pipeline, number, port) for number, port in enumerate(ports)]
    pipeline.wait_until(lambda: all(worker.is_ready() for worker in workers), "both workers")
    with load():
        with SinkProcess(settings, instance_id="sink-0") as old_sink:
            stored.wait_for(PER_SECOND)
            for number, old in enumerate(workers):
                assert old.stop() == 0
                pipeline.workers.remove(old)
                # one comes back at its address, the other at a new one
                workers[number] = start(pipeline, number, ports[number] if number == 0 else new_port())
                pipeline.wait_until(workers[number].is_ready, f"worker {number} again")
            assert old_sink.stop()[0] == 0
        with SinkProcess(settings, instance_id="sink-0") as sink:
            goal = len(load.sent) + PER_SECOND
            pipeline.wait_until(lambda: len(load.sent) >= goal, "load on the new workers")
            load.end()
            distinct = len({event.event_id for event in load.sent})
            pipeline.wait_for_scores(distinct)
            stored.wait_for(distinct)
            assert sink.stop()[0] == 0

    scores = pipeline.check_scores()
    assert {score["event_id"] for score in scores.values()} == {event.event_id for event in load.sent}
    assert [worker.stop() for worker in workers] == [0, 0]
    assert all(worker.events("stopped")[0]["scored"] > 0 for worker in workers)

    rows = stored.rows()
    assert len(rows) == len(scores)
    for row in rows:
        score = scores[row["source_partition"], row["source_offset"]]
        assert [row[name] for name in COMPARED] == [score[name] for name in COMPARED]
        assert [row[name] for name in PROPENSITIES] == pytest.approx([score[name] for name in PROPENSITIES], abs=1e-6)
