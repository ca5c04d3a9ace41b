"""`cartcast worker` alone on a preloaded topic: its speed and its stages."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.bench import COMMIT_MS, Bench
from benchmarks.events import Shop
from benchmarks.processes import Family, Usage
from benchmarks.results import Speed
from benchmarks.sampling import Watch, speed_of
from benchmarks.topics import PARTITIONS
from cartcast.local.ports import LOOPBACK, claimed_port
from cartcast.local.processes import PYTHON, Child, Children, wait_until_ready
from service.errors import LocalStackError
from service.kafka_settings import Topics
from streams.observe.metrics import COMMIT_AGE, STAGE
from streams.topics import create_topics

PORT_VARIABLE: Final = "CARTCAST_WORKER__WEB_PORT"
READY_SECONDS: Final = 300.0
STAGE_SUM: Final = f"{STAGE.name}_sum"
Metrics = Mapping[tuple[str, str], float]
"""By name and stage, which is empty where there is none."""


@dataclass(frozen=True)
class Worker:
    """One worker, and the port of its pages."""

    child: Child
    port: int

    def page(self, name: str) -> str:
        """Return a page. Raises LocalStackError while it is not to be had."""
        url = f"http://{LOOPBACK}:{self.port}/{name}"
        try:
            with urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError as failure:
            raise LocalStackError(f"{url} does not answer: {failure}") from None

    def is_ready(self) -> bool:
        try:
            self.page("readyz")
        except LocalStackError:
            return False
        return True


@dataclass(frozen=True)
class Workers:
    """Workers of one consumer group, and what they work on."""

    topics: Topics
    children: Children
    each: Sequence[Worker]
    usage: Callable[[], Usage]
    started_seconds: float
    """When, on the monotonic clock."""

    def check(self) -> None:
        """Raise LocalStackError if one has ended."""
        for worker in self.each:
            worker.child.check()

    def wait_until_ready(self) -> None:
        """Return when all are ready. Raises LocalStackError."""
        for worker in self.each:
            wait_until_ready(worker.child, worker.is_ready, READY_SECONDS)

    def wait_for_commit(self) -> None:
        """Return when everything that was scored is committed, and its states are in the changelog."""
        wait_until_ready(self.each[0].child, lambda: self.metrics()[COMMIT_AGE.name, ""] == 0, READY_SECONDS)

    def metrics(self) -> Metrics:
        """Return the sum of every metric over the workers."""
        found: dict[tuple[str, str], float] = {}
        for worker in self.each:
            for family in text_string_to_metric_families(worker.page("metrics")):
                for sample in family.samples:
                    key = (sample.name, sample.labels.get("stage", ""))
                    found[key] = found.get(key, 0.0) + sample.value
        return found


@contextmanager
def topics_of(name: str, bench: Bench) -> Iterator[Topics]:
    """Yield Cartcast's topics under a prefix of their own; they are deleted in the end."""
    topics = Topics(prefix=f"bench-{name}")
    config = {"bootstrap.servers": bench.stack.bootstrap_servers}
    try:
        create_topics(config, topics, partitions=PARTITIONS, replication_factor=1)
        bench.broker.wait_for_leaders(topics.events, topics.scores, topics.dead_letters, topics.changelog)
        yield topics
    finally:
        bench.broker.delete(topics.prefix)


@contextmanager
def running_workers(
    topics: Topics, bench: Bench, count: int = 1, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Workers]:
    """Start workers, with further variables if some are given; leaving the block stops them."""
    directory = bench.directory / f"{topics.prefix}-{time.monotonic_ns()}"
    with ExitStack() as block:
        ports = [block.enter_context(claimed_port()) for _ in range(count)]
        children = block.enter_context(Children(directory))
        command = [*PYTHON, "-m", "cartcast", "worker", "--device", "cpu", *options]
        shared = {
            **bench.stack.environment(),
            "CARTCAST_KAFKA__TOPIC_PREFIX": topics.prefix,
            "CARTCAST_WORKER__COMMIT_INTERVAL_SECONDS": str(COMMIT_MS / 1000),
            "CARTCAST_LOG__FORMAT": "json",
            **(environment or {}),
        }
        began = time.monotonic()
        workers = [
            Worker(children.start(f"worker {number}", command, {**shared, PORT_VARIABLE: str(port)}), port)
            for number, port in enumerate(ports)
        ]
        yield Workers(topics, children, workers, Family([worker.child.pid for worker in workers]).usage, began)
    shutil.rmtree(directory, ignore_errors=True)


def run_workers(name: str, shop: Shop, bench: Bench, count: int = 1, *options: str) -> tuple[Speed, dict[str, float]]:
    """Score a preloaded topic; return the speed, and microseconds an event of each stage. Raises CartcastError."""
    warm_up, total = bench.scale.warm_up_events, shop.events
    with topics_of(name, bench) as topics:
        bench.broker.fill(topics.events, shop.records())
        with running_workers(topics, bench, count, *options) as workers:
            watch = watch_of(workers, bench)
            watch.until(warm_up)
            before, first = workers.metrics(), watch.samples[-1].results
            watch.until(total)
            stages = stages_between(before, workers.metrics(), watch.samples[-1].results - first)
        refused = bench.broker.count(topics.dead_letters)
        if refused:
            raise LocalStackError(f"{refused:,} events became dead letters: the benchmark's events do not fit Cartcast")
        return speed_of(watch.samples, warm_up, total), stages


def watch_of(workers: Workers, bench: Bench) -> Watch:
    """Return a watch that counts the workers' scores."""
    return Watch(
        lambda: bench.broker.count(workers.topics.scores),
        workers.usage,
        bench.broker_usage,
        workers.check,
        workers.started_seconds,
    )


def stages_between(before: Metrics, after: Metrics, events: int) -> dict[str, float]:
    """Return microseconds an event of whatever stages the worker declares, in its order."""
    stages = [(name, stage) for name, stage in after if name == STAGE_SUM]
    return {stage: (after[name, stage] - before.get((name, stage), 0.0)) / events * 1e6 for name, stage in stages}


def smallest_checkpoint(directory: Path) -> Path:
    """Write a checkpoint whose LSTM has one unit: what is left is nearly all but the model."""
    from model.checkpoint import Calibration, save_checkpoint  # noqa: PLC0415 - seconds of torch, once a run
    from model.lstm import LSTMConfig, PropensityLSTM  # noqa: PLC0415 - the same

    model = PropensityLSTM(LSTMConfig(hidden_size=1))
    calibration = Calibration.identity(len(model.config.horizons))
    save_checkpoint(directory, model, calibration=calibration, metrics={}, training={})
    return directory
