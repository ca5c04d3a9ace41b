"""Debian's Prometheus over a running worker and sink: every metric, every panel, and alerts when things are stopped."""

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.horizons import HORIZONS
from model.level import Level, LevelFile, write_level_file
from service.clickhouse_settings import ClickHouseSettings
from tests.deploy.declared_metrics import samples
from tests.deploy.live_prometheus import Prometheus, Target
from tests.harness.pipeline import Pipeline, pipelines, shoppers
from tests.harness.ports import new_port
from tests.harness.sink_process import SinkProcess, pipeline_settings

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
BEARER = "for Prometheus alone"
MADE_UP = {"ScoreDrift", "DiskFull"}
"""What may fire all the time: these shoppers' second day is unlike their first, and the disk is the machine's."""


class Watched:
    """A worker and a sink on one set of topics, and a Prometheus that watches them."""

    def __init__(self, pipeline: Pipeline, database: ClickHouseSettings, directory: Path, executable: str) -> None:
        self.pipeline = pipeline
        prefix, name = pipeline.topics.prefix, database.database
        self.settings = pipeline_settings(pipeline.kafka, database.url, prefix, database=name)
        token = directory / "token"
        token.write_text(BEARER)
        worker, self._sink_port = new_port(), new_port()
        checkpoint = Path(shutil.copytree(DEFAULT_CHECKPOINT, directory / "checkpoint"))
        level = Level(0, dict.fromkeys(HORIZONS, 0.1))
        write_level_file(checkpoint, LevelFile(load_checkpoint(checkpoint).version, (level,)))
        self.worker = pipeline.start_worker(
            CARTCAST_WORKER__CHECKPOINT=str(checkpoint),
            CARTCAST_WORKER__WEB_PORT=str(worker),
            CARTCAST_WORKER__WEB_TOKEN=BEARER,
        )
        self.sink = self.start_sink()
        targets = {"cartcast-worker": Target(worker, token), "cartcast-sink": Target(self._sink_port, token)}
        self.prometheus = Prometheus(executable, ROOT / "deploy/prometheus", directory, targets)

    def start_sink(self, url: str | None = None) -> SinkProcess:
        """Start a sink on the port that Prometheus knows."""
        update = {} if url is None else {"url": url}
        clickhouse = self.settings.clickhouse.model_copy(update=update)
        environment = {
            "CARTCAST_SINK__METRICS_PORT": str(self._sink_port),
            "CARTCAST_SINK__METRICS_TOKEN": BEARER,
            "CARTCAST_SINK__LAG_SECONDS": "0.5",
            "CARTCAST_SINK__SAMPLE_SECONDS": "1",
        }
        return SinkProcess(self.settings.model_copy(update={"clickhouse": clickhouse}), environment=environment)

    def shop(self, seed: int) -> None:
        """Let shoppers do 3,000 things in the 33 hours until now."""
        events = shoppers(3000, users=150, seed=seed)
        late = time.time_ns() // 1_000_000 - events[-1].ts
        self.pipeline.produce([msgspec.structs.replace(event, ts=event.ts + late) for event in events])

    def send_rubbish(self) -> None:
        self.pipeline.produce_raw([(b"u", b"no event")] * 50)
        self.pipeline.produce_raw([(b"i", b"no item")], topic=self.pipeline.topics.items)

    def wait_for(self, *alerts: tuple[str, str, str], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Return once each of these has fired; a busy machine may miss what happens only once."""
        seen = set()

        def all_seen() -> bool:
            meanwhile()
            seen.update(self.prometheus.firing())
            return seen >= set(alerts)

        self.wait_until(all_seen, f"{alerts}")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds, unless the worker ends before."""

        def holds() -> bool:
            assert self.worker.process.poll() is None, self.pipeline.logs()
            return condition()

        self.prometheus.wait_until(holds, what)


@pytest.fixture
def watched(kafka, database, topic_prefix, tmp_path):
    executable = shutil.which("prometheus")
    if executable is None:
        pytest.skip("prometheus is missing: apt-get install --no-install-recommends prometheus")
    running = None
    for pipeline in pipelines(kafka, topic_prefix, tmp_path):
        running = Watched(pipeline, database, tmp_path, executable)
        try:
            yield running
        finally:
            running.prometheus.stop()
            running.sink.kill()


def test_everything_is_seen_and_what_stops_is_told(watched):
    prometheus = watched.prometheus
    watched.wait_until(lambda: prometheus.health() == {"cartcast-worker": "up", "cartcast-sink": "up"}, "targets")
    watched.shop(1)
    watched.wait_for(("DeadLettersBurst", "warning", "events"), meanwhile=watched.send_rubbish)

    every_metric_has_a_series(prometheus)
    every_panel_is_answered(prometheus)
    every_rule_is_evaluated(prometheus)
    watched.wait_until(lambda: {name for name, *_ in prometheus.firing()} <= MADE_UP, "quiet")

    watched.worker.process.send_signal(signal.SIGSTOP)
    watched.shop(2)
    watched.wait_for(
        ("WorkerDown", "critical", ""),
        ("WorkerDown", "warning", ""),
        ("ConsumerLagGrows", "warning", ""),
        ("NoCommits", "critical", "group"),
    )
    watched.worker.process.send_signal(signal.SIGCONT)
    watched.wait_until(lambda: not {"WorkerDown", "NoCommits"} & {name for name, *_ in prometheus.firing()}, "work")

    assert watched.sink.stop()[0] == 0
    watched.wait_for(("SinkDown", "critical", ""), ("SinkDown", "warning", ""))
    watched.sink = watched.start_sink(url=f"http://127.0.0.1:{new_port()}")
    watched.shop(3)
    watched.wait_for(
        ("SinkBehind", "warning", "waiting"), ("SinkBehind", "warning", "lag"), ("NoCommits", "critical", "process")
    )


def every_metric_has_a_series(prometheus):
    """Wait for it: calibration needs what the engine finds out every ten seconds."""

    def missing():
        return {name for name, names in samples().items() if not any(prometheus.series(each) for each in names)}

    prometheus.wait_until(lambda: not missing(), "metrics", missing)


def every_panel_is_answered(prometheus):
    """Ask as Grafana does, over the last minute; a panel that stays without data would be one that nobody can fill."""
    panels = [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]
    asked = {target["expr"] for panel in panels for target in panel.get("targets", ()) if "expr" in target}
    assert len(asked) > 30

    def is_answered(text):
        query, now = re.sub(r"\$__rate_interval", "10s", text), time.time()
        return prometheus.ask("query_range", query=query, start=str(now - 60), end=str(now), step="1")["result"]

    def empty():
        return [text for text in sorted(asked) if not is_answered(text)]

    prometheus.wait_until(lambda: not empty(), "panels", empty)


def every_rule_is_evaluated(prometheus):
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]

    def missing():
        return [name for name in recorded if not prometheus.series(name)]

    prometheus.wait_until(lambda: not missing(), "recorded series", missing)
