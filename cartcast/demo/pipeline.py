"""The pipeline's processes on this machine: local stack, topics, table, workers, sink, dashboard."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cartcast.demo.pages import Ports, claimed_ports, open_pages
from cartcast.demo.warm_up import warm_up
from cartcast.local.processes import PYTHON, Child, wait_until_ready
from cartcast.local.stack import LocalStack, Report, local_stack
from cartcast.settings import Settings, load_settings
from sinks.schema.migrate import migrate
from streams.topics import create_topics, unused_prefix

READY_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline; its workers may still be starting."""

    settings: Settings
    stack: LocalStack
    workers: list[Child]
    sink: Child
    ports: Ports

    def wait_until_ready(self) -> None:
        """Return when the workers share all partitions and the sink reads. Raises LocalStackError."""
        partitions = set(range(self.settings.kafka.partitions))
        wait_until_ready(self.workers[0], lambda: self._assigned() == partitions, READY_TIMEOUT_SECONDS)
        wait_until_ready(self.sink, self._sink_reads_scores, READY_TIMEOUT_SECONDS)

    def request_stop(self) -> None:
        """Let workers and sink drain at the same time; the stack waits for each of them before Kafka goes."""
        for child in (*self.workers, self.sink):
            child.request_stop()

    def check(self) -> None:
        """Raise LocalStackError if a process has ended."""
        self.stack.children.check()

    def _sink_reads_scores(self) -> bool:
        return any("part" not in line for line in self.sink.log_events("ready"))

    def _assigned(self) -> set[int]:
        """Partitions of the workers' latest assignments; empty until these are of one rebalance."""
        self.check()
        latest = [worker.log_events("ready")[-1:] for worker in self.workers]
        shares = [set(ready["partitions"]) for readies in latest for ready in readies]
        in_total = sum(len(share) for share in shares)
        together = set().union(*shares)
        return together if len(shares) == len(self.workers) and in_total == len(together) else set()


@contextmanager
def running_pipeline(
    directory: Path, config_file: Path | None, workers: int, report: Report, *, dashboard: bool
) -> Iterator[Pipeline]:
    """Start everything; leaving the block stops it. Raises CartcastError."""
    with claimed_ports(workers, dashboard=dashboard) as ports, local_stack(directory, report) as stack:
        settings = _settings(stack, config_file, workers)
        kafka = settings.kafka
        create_topics(kafka.client_config(), kafka.topics, partitions=kafka.partitions, replication_factor=1)
        start = _starter(stack, settings, config_file)
        migrate(settings.clickhouse)
        report(f"starting {workers} worker{'s' if workers > 1 else ''} and a sink")
        pipeline = Pipeline(
            settings=settings,
            stack=stack,
            workers=[
                start("worker", number, environment=ports.worker_environment(number))
                for number in range(1, workers + 1)
            ],
            sink=start("sink"),
            ports=ports,
        )
        if ports.dashboard is not None:
            report(f"starting the dashboard on {ports.dashboard_url}")
            open_pages(start, ports)
        warm_up(kafka.client_config())
        try:
            yield pipeline
        finally:
            report("stopping worker, sink, ClickHouse and Kafka")
            pipeline.request_stop()


def _settings(stack: LocalStack, config_file: Path | None, workers: int) -> Settings:
    """Topics and a database that hold nothing yet, so that every number of the demo is this run's own."""
    flags: dict[str, dict[str, Any]] = {branch: dict(values) for branch, values in stack.settings().items()}
    given = load_settings(config_file, **flags)
    flags["kafka"]["partitions"] = max(given.kafka.partitions, workers)
    flags["kafka"]["topic_prefix"] = unused_prefix(given.kafka.client_config(), given.kafka.topic_prefix)
    number = flags["kafka"]["topic_prefix"].removeprefix(given.kafka.topic_prefix).lstrip("-")
    flags["clickhouse"]["database"] = f"{given.clickhouse.database}_{number}".rstrip("_")
    return load_settings(config_file, **flags)


def _starter(stack: LocalStack, settings: Settings, config_file: Path | None) -> Callable[..., Child]:
    shared = {
        **stack.environment(),
        "CARTCAST_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "CARTCAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "CARTCAST_CLICKHOUSE__DATABASE": settings.clickhouse.database,
        "CARTCAST_WORKER__INPUT_FORMAT": "cartcast",  # what its shoppers send, whatever the own topic carries
        "CARTCAST_LOG__LEVEL": "info",  # readiness is a line at this level
        "CARTCAST_LOG__FORMAT": "json",
    }

    python = [*PYTHON, "-m", "cartcast", *(["--config", str(config_file)] if config_file else [])]

    def start(command: str, number: int | None = None, *, environment: Mapping[str, str] | None = None) -> Child:
        name = command if number is None else f"{command} {number}"
        return stack.children.start(name, [*python, command], {**shared, **(environment or {})})

    return start
