"""Ordinary load for as long as one likes: half of what the pipeline takes, and how much memory its processes hold."""

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from confluent_kafka import Producer

from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate
from streams.topics import create_topics
from tests.harness.pipeline import PARTITIONS, Pipeline
from tests.harness.sink_process import SinkProcess, pipeline_settings
from tests.harness.waiting import eventually
from tests.soak.history import History, Sent
from tests.soak.servers import servers

SHOPPERS = 5000
WARM_UP, BURST = 20_000, 200_000
SLICE_SECONDS = 0.2
SAMPLE_SECONDS = 10.0
FLAT = 0.05
"""Growth from the second quarter to the last that counts as none: before, caches fill."""
KEPT = {"retention.bytes": 256 << 20, "segment.bytes": 64 << 20}


@dataclass
class Steady:
    """What a run has shown; memory in MB, by process, a sample every ten seconds."""

    minutes: float
    capacity: float
    """Events a second, from the first one sent to the last one stored."""
    events: int = 0
    rows: int = 0
    memory: dict[str, list[float]] = field(default_factory=dict)

    def growth(self, process: str) -> tuple[float, float]:
        """Return the median of the second quarter, and of the last one."""
        samples = self.memory[process]
        quarter = max(len(samples) // 4, 1)
        return median(samples[quarter : 2 * quarter] or samples), median(samples[-quarter:])

    @property
    def is_flat(self) -> bool:
        return all(last <= first * (1 + FLAT) for first, last in map(self.growth, self.memory))

    @property
    def holds(self) -> bool:
        return self.is_flat and self.events == self.rows

    def line(self) -> str:
        memory = ", ".join("{} {:.0f} -> {:.0f}".format(name, *self.growth(name)) for name in self.memory)
        return (
            f"{self.minutes:g} minutes at {self.capacity / 2:,.0f} events a second, half of {self.capacity:,.0f}: "
            f"{self.events:,} events, {self.rows:,} rows; MB in the second quarter and in the last: {memory}: "
            f"{'flat' if self.is_flat else 'NOT FLAT'}"
        )


def steady(directory: Path, minutes: float) -> Steady:
    """Find out what one worker and one sink take, and give them half of it for some minutes."""
    with servers(directory, small_disks=False) as running:
        database = ClickHouseSettings(url=running.engine.url, database="steady")
        migrate(database)
        settings = pipeline_settings(
            running.bootstrap_servers, database.url, "steady", block_rows=20_000, block_seconds=0.5
        )
        pipeline = Pipeline(running.bootstrap_servers, settings.kafka.topics, directory)
        client_config = settings.kafka.client_config()
        create_topics(client_config, pipeline.topics, partitions=PARTITIONS, replication_factor=1)
        for topic in (pipeline.topics.events, pipeline.topics.scores, pipeline.topics.dead_letters):
            pipeline.configure(topic, KEPT)
        worker = pipeline.start_worker(CARTCAST_WORKER__COMMIT_INTERVAL_SECONDS="3")
        with SinkProcess(settings) as sink:
            try:
                load = Load(client_config, pipeline.topics.events, database)
                load.send(load.events(WARM_UP))
                load.wait_until_stored()
                burst = load.events(BURST)
                began = time.monotonic()
                load.send(burst)
                load.wait_until_stored()
                found = Steady(minutes, BURST / (time.monotonic() - began))
                pids = {
                    "worker": worker.process.pid,
                    "sink": sink.process.pid,
                    "ClickHouse": running.engine.process.pid,
                }
                for memory in load.run(found.capacity / 2, minutes * 60, pids):
                    for name, megabytes in memory.items():
                        found.memory.setdefault(name, []).append(megabytes)
                load.wait_until_stored()
                found.events, found.rows = load.sent, load.stored()
            finally:
                worker.kill()
    return found


class Load:
    """Events without end, some of them to Kafka at a time."""

    def __init__(self, client_config: dict[str, object], topic: str, database: ClickHouseSettings) -> None:
        self.sent = 0
        self._topic = topic
        self._history = History(Random(1), "steady", users=SHOPPERS, shown_share=0, most_log_ins=0)
        self._producer = Producer({**client_config, "linger.ms": 20, "partitioner": "murmur2_random"})
        self._client = connect(database, database=database.database)

    def events(self, count: int) -> list[Sent]:
        return self._history.events(count)

    def send(self, events: list[Sent]) -> None:
        for record in events:
            self._send(record)
        self._producer.flush()

    def _send(self, record: Sent) -> None:
        while True:
            try:
                self._producer.produce(self._topic, record.value, record.key)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self.sent += 1

    def run(self, per_second: float, seconds: float, pids: dict[str, int]) -> Iterator[dict[str, float]]:
        """Send at a rate; yield the resident memory of processes, in MB, every now and then."""
        began = sampled = time.monotonic()
        first = self.sent
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * per_second) - (self.sent - first)
            for record in self.events(max(due, 0)):
                self._send(record)
            self._producer.poll(0)
            if time.monotonic() - sampled > SAMPLE_SECONDS:
                sampled = time.monotonic()
                yield {name: resident_mb(pid) for name, pid in pids.items()}
            time.sleep(SLICE_SECONDS)
        self._producer.flush()

    def stored(self) -> int:
        return int(self._client.command("SELECT count() FROM scores"))

    def wait_until_stored(self) -> None:
        eventually(lambda: self.stored() >= self.sent, f"{self.sent} rows", found=self.stored)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)
