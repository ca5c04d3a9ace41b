"""Every Prometheus metric of the sink, declared once; a scrape reads what the parts of the sink keep anyway."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sinks.observe.lag import PartitionLag
from sinks.observe.progress import Counts
from sinks.observe.samples import Calibration, Disk, Drift
from sinks.pulse import Pulse


class Declared(NamedTuple):
    """A metric as Prometheus knows it; a counter's name gets `_total` there. The help begins with the unit."""

    name: str
    text: str
    labels: tuple[str, ...]


_PART: Final = ("part",)
_MODEL: Final = ("model", "horizon")
_DISK: Final = ("disk",)

COUNTERS: Final = {
    "stored": Declared("cartcast_sink_stored", "records that are rows of ClickHouse now", _PART),
    "repeats": Declared(
        "cartcast_sink_repeats", "records that were skipped because the row of their event was stored already", _PART
    ),
    "dead_letters": Declared(
        "cartcast_sink_dead_letters", "records that are no rows and went to the dead-letter topic", _PART
    ),
    "blocks": Declared("cartcast_sink_blocks", "blocks of records that are stored", _PART),
    "retries": Declared(
        "cartcast_sink_retries", "attempts that failed because ClickHouse or Kafka was away, to be made again", _PART
    ),
}
"""By the field of `Counts`."""
HISTOGRAMS: Final = {
    "block_rows": Declared("cartcast_sink_block_rows", "rows of one block that is stored", _PART),
    "insert_seconds": Declared("cartcast_sink_insert_seconds", "seconds until ClickHouse has taken an insert", _PART),
}
"""By the field of `Counts`."""
WAITING: Final = Declared(
    "cartcast_sink_waiting", "1 while ClickHouse or Kafka is away and the part tries again, else 0", _PART
)
COMMIT_AGE: Final = Declared(
    "cartcast_sink_commit_age_seconds", "seconds since the last commit while records wait; 0 while none waits", _PART
)
LAG: Final = Declared(
    "cartcast_consumer_lag",
    "records that a consumer group has not done, at the last sample",
    ("consumer_group", "topic", "partition"),
)
DISK_FREE: Final = Declared("cartcast_clickhouse_disk_free_bytes", "bytes that are free on a disk of ClickHouse", _DISK)
DISK_TOTAL: Final = Declared("cartcast_clickhouse_disk_total_bytes", "bytes that a disk of ClickHouse has", _DISK)
PSI: Final = Declared(
    "cartcast_score_psi",
    "population stability index of the last 24 hours' scores against the reference; above 0.25: shifted",
    _MODEL,
)
CALIBRATION: Final = Declared(
    "cartcast_calibration_error",
    "mean distance of propensity and purchase rate, 0 to 1, over the last 48 hours' scores whose horizon has passed",
    _MODEL,
)
CALIBRATION_SCORES: Final = Declared("cartcast_calibration_scores", "scores behind cartcast_calibration_error", _MODEL)

DECLARED: Final = (
    *((each, "counter") for each in COUNTERS.values()),
    *((each, "histogram") for each in HISTOGRAMS.values()),
    *((each, "gauge") for each in (WAITING, COMMIT_AGE, LAG, DISK_FREE, DISK_TOTAL)),
    *((each, "gauge") for each in (PSI, CALIBRATION, CALIBRATION_SCORES)),
)
"""Every one with its type."""


class Part(Protocol):
    """A part of the sink that stores a topic: `scores` or `dead letters`."""

    counts: Counts
    pulse: Pulse

    @property
    def waiting(self) -> bool:
        """Whether the world is away."""


class Samples(Protocol):
    """The latest answers of ClickHouse."""

    disks: list[Disk]
    drift: list[Drift]
    calibration: list[Calibration]


class NoSamples:
    """What is known when nobody asks."""

    disks: list[Disk] = []  # noqa: RUF012 - never changed
    drift: list[Drift] = []  # noqa: RUF012
    calibration: list[Calibration] = []  # noqa: RUF012


def sink_metrics(
    parts: Mapping[str, Part],
    lag: Callable[[], Sequence[PartitionLag]] = tuple,
    samples: Samples | None = None,
) -> CollectorRegistry:
    """Return a registry that reads the parts, by name, and the last samples of Kafka and ClickHouse when scraped."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SinkCollector(parts, lag, samples or NoSamples()))
    ProcessCollector(registry=registry)
    return registry


class _SinkCollector(Collector):
    def __init__(self, parts: Mapping[str, Part], lag: Callable[[], Sequence[PartitionLag]], samples: Samples) -> None:
        self._parts = parts
        self._lag = lag
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        yield from self._counted()
        yield _gauge(WAITING, [((name,), part.waiting) for name, part in self._parts.items()])
        yield _gauge(COMMIT_AGE, [((name,), part.pulse.commit_age_seconds) for name, part in self._parts.items()])
        of_partitions = [((each.consumer_group, each.topic, str(each.partition)), each.lag) for each in self._lag()]
        yield _gauge(LAG, of_partitions)
        yield from self._sampled()

    def _counted(self) -> Iterator[Metric]:
        for field, declared in COUNTERS.items():
            counter = CounterMetricFamily(declared.name, declared.text, labels=declared.labels)
            for name, part in self._parts.items():
                counter.add_metric([name], getattr(part.counts, field))
            yield counter
        for field, declared in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(declared.name, declared.text, labels=declared.labels)
            for name, part in self._parts.items():
                found = getattr(part.counts, field)
                histogram.add_metric([name], found.buckets(), found.total)
            yield histogram

    def _sampled(self) -> Iterator[Metric]:
        disks, calibration = self._samples.disks, self._samples.calibration
        yield _gauge(DISK_FREE, [((each.name,), each.free_bytes) for each in disks])
        yield _gauge(DISK_TOTAL, [((each.name,), each.total_bytes) for each in disks])
        yield _gauge(PSI, [((each.model, each.horizon), each.psi) for each in self._samples.drift])
        yield _gauge(CALIBRATION, [((each.model, each.horizon), each.error) for each in calibration])
        yield _gauge(CALIBRATION_SCORES, [((each.model, each.horizon), each.scores) for each in calibration])


def _gauge(declared: Declared, values: Sequence[tuple[tuple[str, ...], float]]) -> Metric:
    gauge = GaugeMetricFamily(declared.name, declared.text, labels=declared.labels)
    for labels, value in values:
        gauge.add_metric(labels, value)
    return gauge
