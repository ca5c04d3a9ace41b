"""The whole pipeline on this machine: how fast it is at full speed, and how long a score takes below that."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, TopicPartition

import cartcast.demo.pipeline as demo
from benchmarks.bench import Report, Scale
from benchmarks.events import Shop
from benchmarks.processes import Usage, started_here, usage_below
from benchmarks.producer import start_producer
from benchmarks.results import Delay, Pipeline
from benchmarks.sampling import wait_for
from benchmarks.topics import Broker
from cartcast.local.processes import Child, Children, wait_until_ready
from service.clickhouse import connect

PRODUCER_SECONDS: Final = 120.0
SETTLED_SHARE: Final = 0.2
"""Of a run at one rate, the first part is left out: it has the producer's first seconds in it."""
LOADS: Final = (0.1, 0.5, 0.8)
LOW_RATE: Final = 2000.0


class _Score(msgspec.Struct):
    source_timestamp: int


_decode = msgspec.json.Decoder(_Score).decode


class Plant:
    """A running pipeline, the rows in it, and what each part has used."""

    def __init__(self, pipeline: demo.DemoPipeline, client: Client, children: Children, directory: Path) -> None:
        self.topics = pipeline.settings.kafka.topics
        self.kafka = pipeline.stack.bootstrap_servers
        self.broker = Broker(self.kafka)
        self._pipeline = pipeline
        self._client = client
        self._children = children
        self._directory = directory
        self._runs = 0
        self.expected = 0
        """Rows that there will be when everything that was sent is stored."""
        self._parts = {
            "worker": pipeline.workers[0].pid,
            "broker": started_here("kafka.Kafka"),
            "sink": pipeline.sink.pid,
            "clickhouse": started_here("clickhouse_server"),
        }

    def producer(self, events: int, shoppers: int, rate: float = 0.0) -> tuple[Child, Path]:
        """Start a producer that has its events ready; it begins when the path exists."""
        self._runs += 1
        go = self._directory / f"go-{self._runs}"
        shop = Shop(events, shoppers, first=self.expected)
        options = ("--go", str(go), "--rate", str(rate))
        child = start_producer(self._children, self.kafka, self.topics.events, shop, *options)
        wait_until_ready(child, lambda: b"ready" in child.log_path.read_bytes(), PRODUCER_SECONDS)
        self.expected += events
        return child, go

    def rows(self) -> int:
        return int(str(self._client.command("SELECT count() FROM scores")))

    def usage(self) -> dict[str, Usage]:
        return {name: usage_below(pid) for name, pid in self._parts.items()}

    def score_ends(self) -> list[int]:
        """Return where each partition of the scores topic ends."""
        return self.broker.ends(self.topics.scores)

    def wait_for_rows(self) -> None:
        """Return when everything that was sent is stored."""
        wait_for(self.expected, self.rows, self._pipeline.check)


@contextmanager
def running_plant(directory: Path, report: Report) -> Iterator[Plant]:
    """Start Kafka, ClickHouse, a worker and a sink."""
    with (
        demo.running_pipeline(directory, None, 1, report, dashboard=False) as pipeline,
        Children(directory / "producers") as children,
    ):
        pipeline.wait_until_ready()
        settings = pipeline.settings.clickhouse
        client = connect(settings, database=settings.database)
        try:
            yield Plant(pipeline, client, children, directory)
        finally:
            client.close_connections()


def run_pipeline(plant: Plant, scale: Scale) -> Pipeline:
    """Return the run whose speed is the median."""
    runs = sorted((_run_once(plant, scale) for _ in range(scale.repetitions)), key=lambda run: run.events_per_second)
    return runs[len(runs) // 2]


def _run_once(plant: Plant, scale: Scale) -> Pipeline:
    """Send events as fast as they go; the clock runs from the first one sent to the last row stored."""
    _, go = plant.producer(scale.warm_up_events, scale.shoppers)
    go.touch()
    plant.wait_for_rows()
    producer, go = plant.producer(scale.events, scale.shoppers)
    before, began = plant.usage(), time.monotonic()
    go.touch()
    plant.wait_for_rows()
    seconds, after = time.monotonic() - began, plant.usage()
    used = {name: after[name].cpu_seconds - before[name].cpu_seconds for name in before}
    producer.wait(PRODUCER_SECONDS)
    used["producer"] = float(producer.log_path.read_text().split()[-1])
    return Pipeline(
        events_per_second=scale.events / seconds,
        cpu_us={name: cpu_seconds / scale.events * 1e6 for name, cpu_seconds in used.items()},
        memory_bytes={name: float(usage.memory_bytes) for name, usage in after.items()},
    )


def run_delay(plant: Plant, scale: Scale, load: str, rate: float) -> Delay:
    """Send events at a rate; return the delays of those after the first moments."""
    events = round(rate * scale.delay_seconds)
    _, go = plant.producer(events, scale.shoppers, rate)
    starts = plant.score_ends()
    go.touch()
    plant.wait_for_rows()
    times = np.array(list(_times(plant, starts)), np.int64)
    return delay_of(load, rate, times)


def delay_of(load: str, rate: float, times: npt.NDArray[np.int64]) -> Delay:
    """Summarise `(scores, 2)`: when each event was created, and when its score was appended, in ms."""
    created, appended = times[:, 0], times[:, 1]
    settled = created >= created.min() + SETTLED_SHARE * (created.max() - created.min())
    delays = (appended - created)[settled]
    p50, p99, longest = (float(each) for each in np.percentile(delays, [50, 99, 100]))
    return Delay(load=load, events_per_second=rate, p50_ms=p50, p99_ms=p99, max_ms=longest, scores=len(delays))


def _times(plant: Plant, starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Read the scores from `starts` to their ends: when the event was created, when the score was appended."""
    consumer = Consumer({"bootstrap.servers": plant.kafka, "group.id": "bench-delay", "enable.auto.commit": False})
    consumer.assign([TopicPartition(plant.topics.scores, number, start) for number, start in enumerate(starts)])
    left = sum(plant.score_ends()) - sum(starts)
    try:
        while left > 0:
            for message in consumer.consume(10_000, 1.0):
                yield _decode(message.value() or b"").source_timestamp, message.timestamp()[1]
                left -= 1
    finally:
        consumer.close()
