"""Every Prometheus metric of the worker, declared once; a scrape reads what the parts of the worker keep anyway."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.liveness import Pulse
from service.metrics import Distribution
from streams.observe.counts import Counts
from streams.observe.restore import Restore
from streams.observe.timings import STAGES, Timings

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Declared(NamedTuple):
    """A metric as Prometheus knows it; a counter's name gets `_total` there. The help begins with the unit."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


COUNTERS: Final = {
    "events": Declared("cartcast_worker_events", "records of the events topic that were judged, whatever came of them"),
    "scored": Declared("cartcast_worker_scores", "events that were accepted and whose scores are published"),
    "duplicates": Declared("cartcast_worker_duplicates", "events whose event_id their shopper had already sent"),
    "already_applied": Declared(
        "cartcast_worker_already_applied", "events that came again after a restart and were skipped"
    ),
    "other_types": Declared("cartcast_worker_other_types", "accepted events of a type that Cartcast does not know"),
}
"""By the field of `Counts`."""
DEAD_LETTERS: Final = Declared(
    "cartcast_worker_dead_letters", "records that went to the dead-letter topic, by reason", ("reason",)
)
MODEL: Final = Declared("cartcast_worker_model", "1; the label is the version of the model that scores", ("version",))
LAG: Final = Declared(
    "cartcast_worker_consumer_lag",
    "records between what was taken of a partition of the events topic and its end, as of the last fetch",
    ("topic", "partition"),
)
BATCH: Final = Declared("cartcast_worker_batch_events", "events that were scored together")
STAGE: Final = Declared(
    "cartcast_worker_stage_seconds",
    f"seconds that one batch spent in a stage: {', '.join(STAGES)}; fetch contains the wait for records, inference "
    "that for the device, acknowledge is Kafka's confirmation",
    ("stage",),
)
DELAY: Final = Declared(
    "cartcast_worker_event_to_score_seconds", "seconds from Kafka's time of an event to the confirmation of its score"
)
COMMITS: Final = Declared("cartcast_worker_commits", "commits that Kafka took")
COMMIT_AGE: Final = Declared(
    "cartcast_worker_commit_age_seconds", "seconds for which records have waited for a commit; 0 if none waits"
)
RESTORED: Final = Declared("cartcast_worker_restore_records", "records of the changelog that were read")
REMAINING: Final = Declared(
    "cartcast_worker_restore_remaining_records", "offsets of the changelog that the restore under way has not read"
)
RESTORE_SECONDS: Final = Declared(
    "cartcast_worker_restore_seconds", "seconds that the restore under way has taken, or the last one took"
)
RESTORING: Final = Declared("cartcast_worker_restoring", "1 while states are restored from the changelog, else 0")
QUEUE_BYTES: Final = Declared("cartcast_worker_queue_bytes", "bytes of records that wait for Kafka's confirmation")
QUEUE_MESSAGES: Final = Declared("cartcast_worker_queue_messages", "records that wait for Kafka's confirmation")
UTILISATION: Final = Declared(
    "cartcast_worker_device_utilisation_ratio",
    "share of its time that the device is busy, 0 to 1; for `cpu`: this process's share of its cores since the last "
    "scrape",
    ("device",),
)
DEVICE_MEMORY: Final = Declared(
    "cartcast_worker_device_memory_bytes",
    "bytes of the device's memory that are in use; for `cpu`: this process's",
    ("device",),
)
PARTITIONS: Final = Declared("cartcast_worker_assigned_partitions", "partitions of the events topic that it scores")
SHOPPERS: Final = Declared("cartcast_worker_shoppers", "shoppers whose sequence states it holds")
READY: Final = Declared("cartcast_worker_ready", "1 while /readyz answers 200, else 0")

DECLARED: Final = (
    *((each, "counter") for each in (*COUNTERS.values(), DEAD_LETTERS, COMMITS, RESTORED)),
    *((each, "histogram") for each in (BATCH, STAGE, DELAY)),
    *((each, "gauge") for each in (LAG, COMMIT_AGE, REMAINING, RESTORE_SECONDS, RESTORING, QUEUE_BYTES)),
    *((each, "gauge") for each in (QUEUE_MESSAGES, UTILISATION, DEVICE_MEMORY, PARTITIONS, SHOPPERS, READY)),
    (MODEL, "info"),
)
"""Every one with its type."""


class Use(Protocol):
    """What a device does; None where nobody can say."""

    @property
    def device(self) -> str: ...
    @property
    def utilisation(self) -> float | None: ...
    @property
    def memory_bytes(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Readings:
    """What a scrape reads beside the counts; the functions are called on the event loop."""

    topic: str = ""
    timings: Timings = field(default_factory=Timings)
    pulse: Pulse = field(default_factory=Pulse)
    restore: Restore = field(default_factory=Restore)
    lags: Callable[[], Mapping[int, int]] = dict
    """By partition of the topic."""
    queue: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Bytes and messages."""
    device: Callable[[], Use | None] = lambda: None
    shoppers: Callable[[], list[int]] = list
    """States held, by partition."""
    ready: Callable[[], bool] = lambda: False


def worker_metrics(counts: Counts, *, model: str, readings: Readings | None = None) -> CollectorRegistry:
    """Return a registry that reads `counts` and `readings` when it is scraped, in the thread that changes them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_WorkerCollector(counts, model, readings or Readings()))
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> tuple[bytes, str]:
    """Return the page that Prometheus scrapes and its content type."""
    return generate_latest(registry), CONTENT_TYPE


class _WorkerCollector(Collector):
    def __init__(self, counts: Counts, model: str, readings: Readings) -> None:
        self._counts = counts
        self._model = model
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._histograms()
        yield from self._gauges()
        yield from self._labelled()
        yield InfoMetricFamily(MODEL.name, MODEL.text, value={"version": self._model})

    def _counters(self) -> Iterator[Metric]:
        for name, declared in COUNTERS.items():
            yield CounterMetricFamily(declared.name, declared.text, value=getattr(self._counts, name))
        dead_letters = CounterMetricFamily(DEAD_LETTERS.name, DEAD_LETTERS.text, labels=DEAD_LETTERS.labels)
        for reason, count in sorted(self._counts.dead_letters.items()):
            dead_letters.add_metric([reason], count)
        yield dead_letters
        yield CounterMetricFamily(COMMITS.name, COMMITS.text, value=self._readings.pulse.commits)
        yield CounterMetricFamily(RESTORED.name, RESTORED.text, value=self._readings.restore.records)

    def _histograms(self) -> Iterator[Metric]:
        timings = self._readings.timings
        yield _histogram(BATCH, {(): timings.batch_events})
        yield _histogram(STAGE, {(stage,): found for stage, found in timings.stages.items()})
        yield _histogram(DELAY, {(): timings.event_to_score})

    def _gauges(self) -> Iterator[Metric]:
        readings, restore, shoppers = self._readings, self._readings.restore, self._readings.shoppers()
        queue_bytes, queue_messages = readings.queue()
        for declared, value in (
            (COMMIT_AGE, readings.pulse.commit_age_seconds),
            (REMAINING, restore.remaining),
            (RESTORE_SECONDS, restore.seconds),
            (RESTORING, restore.under_way),
            (QUEUE_BYTES, queue_bytes),
            (QUEUE_MESSAGES, queue_messages),
            (PARTITIONS, len(shoppers)),
            (SHOPPERS, sum(shoppers)),
            (READY, readings.ready()),
        ):
            yield GaugeMetricFamily(declared.name, declared.text, value=value)

    def _labelled(self) -> Iterator[Metric]:
        topic, use = self._readings.topic, self._readings.device()
        yield _gauge(LAG, {(topic, str(partition)): lag for partition, lag in self._readings.lags().items()})
        yield _gauge(UTILISATION, {} if use is None or use.utilisation is None else {(use.device,): use.utilisation})
        yield _gauge(
            DEVICE_MEMORY, {} if use is None or use.memory_bytes is None else {(use.device,): use.memory_bytes}
        )


def _histogram(declared: Declared, found: Mapping[tuple[str, ...], Distribution]) -> Metric:
    family = HistogramMetricFamily(declared.name, declared.text, labels=declared.labels)
    for labels, distribution in found.items():
        family.add_metric(labels, distribution.buckets(), distribution.total)
    return family


def _gauge(declared: Declared, values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(declared.name, declared.text, labels=declared.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
