"""The pipeline's processes on this machine: local stack, topics, table, workers, sink, dashboard."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cartcast.demo.pages import DASHBOARD_PORT, open_pages, pages_url
from cartcast.demo.shop import write_checkpoint
from cartcast.demo.warm_up import warm_up
from cartcast.local.ports import LOOPBACK, claimed_port
from cartcast.local.processes import PYTHON, Child, wait_until_ready
from cartcast.local.stack import LocalStack, Report, local_stack
from cartcast.settings import Settings, load_settings
from sinks.schema.migrate import migrate
from streams.topics import create_topics, unused_prefix


@dataclass(frozen=True)
class DemoPipeline:
    """A running pipeline; its workers may still be starting."""

    settings: Settings
    stack: LocalStack
    workers: list[Child]
    sink: Child
    dashboard_url: str | None = None
    """None: the pages were not asked for"""

    def wait_until_ready(self) -> None:
        """Return when the workers share all partitions and the sink reads. Raises LocalStackError."""
        partitions = set(range(self.settings.kafka.partitions))
        wait_until_ready(self.workers[0], lambda: self._assigned() == partitions)
        wait_until_ready(self.sink, self._sink_reads_scores)

    def look_ups(self) -> str | None:
        """Wait until the first worker has taken a port and return its URL, None if it answers no look-ups.

        The workers choose: a port that was chosen for them could be another's when they have loaded. Raises
        LocalStackError.
        """
        worker = self.workers[0]
        wait_until_ready(worker, lambda: bool(worker.log_events("starting")))
        url = worker.log_events("starting")[-1]["look_ups"]
        return None if url is None else str(url)

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
def running_pipeline(  # noqa: PLR0913 - what is run, and how much of it
    directory: Path,
    config_file: Path | None,
    workers: int,
    report: Report,
    *,
    dashboard: bool,
    recommends: bool = False,
) -> Iterator[DemoPipeline]:
    """Start everything; leaving the block stops it. Raises CartcastError.

    With `recommends` the workers know which items come next, unless a checkpoint is set that does not.
    """
    claim = claimed_port(DASHBOARD_PORT) if dashboard else nullcontext()
    with claim as dashboard_port, local_stack(directory, report, engine_gives_way=True) as stack:
        settings = _settings(stack, config_file, workers)
        checkpoint = settings.worker.checkpoint or (write_checkpoint(directory) if recommends else None)
        kafka = settings.kafka
        create_topics(kafka.client_config(), kafka.topics, partitions=kafka.partitions, replication_factor=1)
        start = _starter(stack, settings, config_file, checkpoint)
        migrate(settings.clickhouse)
        report(f"starting {workers} worker{'s' if workers > 1 else ''} and a sink")
        pipeline = DemoPipeline(
            settings=settings,
            stack=stack,
            workers=[
                start("worker", number, environment=_look_up_port(settings, number)) for number in range(1, workers + 1)
            ],
            sink=start("sink"),
            dashboard_url=None if dashboard_port is None else pages_url(dashboard_port),
        )
        warm_up(kafka.client_config())
        if dashboard_port is not None:
            worker_url = pipeline.look_ups()
            report(f"starting the dashboard on {pipeline.dashboard_url}")
            open_pages(start, dashboard_port, worker_url)
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


def _look_up_port(settings: Settings, number: int) -> dict[str, str]:
    """Return what tells worker `number`, from 1, its port: of a port that is set, each of them has the next."""
    port = settings.worker.web_port
    return {"CARTCAST_WORKER__WEB_PORT": str(port + number - 1)} if port else {}


def _starter(
    stack: LocalStack, settings: Settings, config_file: Path | None, checkpoint: Path | None
) -> Callable[..., Child]:
    shared = {
        **stack.environment(),
        "CARTCAST_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "CARTCAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "CARTCAST_CLICKHOUSE__DATABASE": settings.clickhouse.database,
        "CARTCAST_WORKER__CHECKPOINT": "" if checkpoint is None else str(checkpoint),
        "CARTCAST_WORKER__INPUT_FORMAT": "cartcast",  # what its shoppers send, whatever the own topic carries
        "CARTCAST_WORKER__CLOCK_AHEAD_SECONDS": str(1e11),  # its shop lives faster than the clock
        "CARTCAST_WORKER__WEB_BIND": LOOPBACK,
        "CARTCAST_LOG__LEVEL": "info",  # readiness is a line at this level
        "CARTCAST_LOG__FORMAT": "json",
    }

    python = [*PYTHON, "-m", "cartcast", *(["--config", str(config_file)] if config_file else [])]

    def start(command: str, number: int | None = None, *, environment: Mapping[str, str] | None = None) -> Child:
        name = command if number is None else f"{command} {number}"
        added = {**shared, **(environment or {})}
        return stack.children.start(name, [*python, command], added, gives_way=command != "worker")

    return start
