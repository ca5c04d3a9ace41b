"""`cartcast worker` alone on a preloaded topic: its speed and its stages, its states and how long a restore takes."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.bench import COMMIT_MS, Bench
from benchmarks.events import Shop
from benchmarks.processes import Family, Usage, available_memory
from benchmarks.producer import start_producer
from benchmarks.results import ManyShoppers, Speed, States
from benchmarks.sampling import Watch, speed_of
from benchmarks.topics import PARTITIONS
from cartcast.local.ports import LOOPBACK, claimed_port
from cartcast.local.processes import PYTHON, Child, Children, wait_until_ready
from service.errors import LocalStackError
from service.kafka_settings import Topics
from streams.topics import create_topics

READY_SECONDS: Final = 300.0
STAGE_SUM: Final = "cartcast_worker_stage_seconds_sum"
RESTORE_SECONDS: Final = "cartcast_worker_restore_seconds"
COMMIT_AGE: Final = "cartcast_worker_commit_age_seconds"
SPARE_MEMORY_SHARE: Final = 0.1
"""A worker whose shoppers do not fit is stopped while so much of the machine's memory is left."""

DISK_BYTES_A_SHOPPER: Final = 3000
"""What the broker keeps of an event, its score and the state, with room to spare."""

Metrics = Mapping[tuple[str, str], float]
"""By name and stage, which is empty where there is none."""


@dataclass(frozen=True)
class Workers:
    """Workers of one consumer group, and what they work on."""

    topics: Topics
    children: Children
    started: Sequence[tuple[Child, int]]
    """With the port of its pages."""
    usage: Callable[[], Usage]
    started_seconds: float
    """When, on the monotonic clock."""

    def check(self) -> None:
        """Raise LocalStackError if one has ended."""
        for child, _ in self.started:
            child.check()

    def wait_until_ready(self) -> None:
        """Return when all are ready. Raises LocalStackError."""
        for child, port in self.started:
            wait_until_ready(child, partial(_answers, port, "readyz"), READY_SECONDS)

    def metrics(self) -> Metrics:
        """Return the sum of every metric over the workers."""
        found: dict[tuple[str, str], float] = {}
        for _, port in self.started:
            for family in text_string_to_metric_families(_page(port, "metrics")):
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
def running_workers(topics: Topics, bench: Bench, count: int = 1, *options: str) -> Iterator[Workers]:
    """Start workers; leaving the block stops them."""
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
        }
        began = time.monotonic()
        started = [
            (children.start(f"worker {number}", command, {**shared, "CARTCAST_WORKER__WEB_PORT": str(port)}), port)
            for number, port in enumerate(ports)
        ]
        yield Workers(topics, children, started, Family([child.pid for child, _ in started]).usage, began)
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


def run_states(bench: Bench) -> States:
    """Score one event each of many shoppers, then start another worker that has to read all their states."""
    shoppers = bench.scale.state_shoppers
    with topics_of("states", bench) as topics:
        bench.broker.fill(topics.events, Shop(shoppers, shoppers, in_turn=True).records())
        with running_workers(topics, bench) as workers:
            workers.wait_until_ready()
            empty = workers.usage().memory_bytes
            watch_of(workers, bench).until(shoppers)
            _wait_for_commit(workers)
            full = workers.usage().memory_bytes
        changelog = _log_bytes(bench.directory, topics.changelog) / shoppers
        with running_workers(topics, bench) as workers:
            workers.wait_until_ready()
            ready = time.monotonic() - workers.started_seconds
            restored = workers.metrics()[RESTORE_SECONDS, ""]
    return States(
        shoppers=shoppers,
        memory_bytes_a_shopper=(full - empty) / shoppers,
        changelog_bytes_a_shopper=changelog,
        restore_seconds=restored,
        ready_seconds=ready,
    )


class _NoMoreError(LocalStackError):
    """The worker takes no more shoppers, or must not."""


def run_many_shoppers(bench: Bench) -> ManyShoppers:
    """Stream ever new shoppers through one worker, until all are scored or the machine's memory is nearly gone."""
    shop = Shop(bench.scale.many_shoppers, bench.scale.many_shoppers, in_turn=True)
    needed = shop.shoppers * DISK_BYTES_A_SHOPPER
    if shutil.disk_usage(bench.directory).free < needed:
        raise LocalStackError(f"{shop.shoppers:,} shoppers need {needed / 1e9:.0f} GB of disk in {bench.directory}")
    with topics_of("many", bench) as topics, running_workers(topics, bench) as workers:
        watch, ended = watch_of(workers, bench), "every shopper was scored"

        def check() -> None:
            child = workers.started[0][0]
            if child.exit_status is not None:
                raise _NoMoreError(f"the worker ended: {child.last_words()}")
            left, whole = available_memory()
            if left < SPARE_MEMORY_SHARE * whole:
                raise _NoMoreError(f"stopped when {SPARE_MEMORY_SHARE:.0%} of the machine's memory was left")

        watch.check = check
        start_producer(workers.children, bench.stack.bootstrap_servers, topics.events, shop)
        try:
            watch.until(shop.events)
        except _NoMoreError as reason:
            ended = str(reason)
    scored = [sample for sample in watch.samples if sample.results] or watch.samples[-1:]
    return ManyShoppers(
        shoppers=scored[-1].results,
        memory_bytes=max(sample.program.memory_bytes for sample in watch.samples),
        events_per_second=(scored[-1].results - scored[0].results) / max(scored[-1].seconds - scored[0].seconds, 1e-9),
        ended=ended,
    )


def _wait_for_commit(workers: Workers) -> None:
    """Return when everything that was scored is committed, and its states are in the changelog."""
    wait_until_ready(workers.started[0][0], lambda: workers.metrics()[COMMIT_AGE, ""] == 0, READY_SECONDS)


def _log_bytes(directory: Path, topic: str) -> int:
    """Return what a topic's partitions take on the broker's disk."""
    folders = (directory / "stack" / "kafka" / "data").glob(f"{topic}-[0-9]*")
    return sum(segment.stat().st_size for folder in folders for segment in folder.glob("*.log"))


def _page(port: int, name: str) -> str:
    with urlopen(f"http://{LOOPBACK}:{port}/{name}", timeout=10) as answer:
        return str(answer.read().decode())


def _answers(port: int, name: str) -> bool:
    try:
        _page(port, name)
    except HTTPError as refused:
        refused.close()
        return False
    except (URLError, OSError):
        return False
    return True
