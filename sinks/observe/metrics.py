"""Every Prometheus metric of the sink, declared once; a scrape reads what the parts of the sink keep anyway."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from service.liveness import Liveness
from service.metrics import Declaration, histogram, registry_of, sample
from sinks.observe.lag import PartitionLag
from sinks.observe.progress import SinkCounts
from sinks.observe.samples import CalibrationSample, Disk, Drift

_PART: Final = ("part",)
_MODEL: Final = ("model", "horizon")
_DISK: Final = ("disk",)

COUNTERS: Final = {
    "stored": Declaration("counter", "cartcast_sink_stored", "records that are rows of ClickHouse now", _PART),
    "repeats": Declaration(
        "counter",
        "cartcast_sink_repeats",
        "records that were skipped because the row of their event was stored already",
        _PART,
    ),
    "dead_letters": Declaration(
        "counter", "cartcast_sink_dead_letters", "records that are no rows and went to the dead-letter topic", _PART
    ),
    "strangers": Declaration(
        "counter",
        "cartcast_sink_strangers",
        "those of these records that no worker of this application wrote",
        _PART,
    ),
    "deleted": Declaration(
        "counter",
        "cartcast_sink_deleted_records",
        "offsets that the topic's retention took before the records were stored",
        _PART,
    ),
    "forgotten": Declaration(
        "counter",
        "cartcast_sink_forgotten_records",
        "records that were left out because their shopper is forgotten",
        _PART,
    ),
    "blocks": Declaration("counter", "cartcast_sink_blocks", "blocks of records that are stored", _PART),
    "retries": Declaration(
        "counter",
        "cartcast_sink_retries",
        "attempts that failed because ClickHouse or Kafka was away, to be made again",
        _PART,
    ),
}
"""By the field of `SinkCounts`."""
HISTOGRAMS: Final = {
    "block_rows": Declaration("histogram", "cartcast_sink_block_rows", "rows of one block that is stored", _PART),
    "insert_seconds": Declaration(
        "histogram", "cartcast_sink_insert_seconds", "seconds until ClickHouse has taken an insert", _PART
    ),
}
"""By the field of `SinkCounts`."""
WAITING: Final = Declaration(
    "gauge", "cartcast_sink_waiting", "1 while ClickHouse or Kafka is away and the part tries again, else 0", _PART
)
COMMIT_AGE: Final = Declaration(
    "gauge",
    "cartcast_sink_commit_age_seconds",
    "seconds for which records have waited for a commit; 0 while none waits",
    _PART,
)
LAG: Final = Declaration(
    "gauge",
    "cartcast_consumer_lag",
    "records that a consumer group has not done, at the last sample",
    ("consumer_group", "topic", "partition"),
)
FORGET_PENDING: Final = Declaration(
    "gauge",
    "cartcast_sink_forget_pending",
    "requests to forget a shopper in this sink's partitions whose rows are not deleted yet",
)
DISK_FREE: Final = Declaration(
    "gauge", "cartcast_clickhouse_disk_free_bytes", "bytes that are free on a disk of ClickHouse", _DISK
)
DISK_TOTAL: Final = Declaration(
    "gauge", "cartcast_clickhouse_disk_total_bytes", "bytes that a disk of ClickHouse has", _DISK
)
PSI: Final = Declaration(
    "gauge",
    "cartcast_score_psi",
    "population stability index of the last 24 hours' scores against the reference; above 0.25: shifted",
    _MODEL,
)
CALIBRATION: Final = Declaration(
    "gauge",
    "cartcast_calibration_error",
    "mean distance of propensity and purchase rate, 0 to 1, over the last 48 hours' scores whose horizon has passed",
    _MODEL,
)
CALIBRATION_SCORES: Final = Declaration(
    "gauge", "cartcast_calibration_scores", "scores behind cartcast_calibration_error", _MODEL
)

DECLARED: Final = (
    *COUNTERS.values(),
    *HISTOGRAMS.values(),
    WAITING,
    COMMIT_AGE,
    LAG,
    FORGET_PENDING,
    DISK_FREE,
    DISK_TOTAL,
    PSI,
    CALIBRATION,
    CALIBRATION_SCORES,
)


class Part(Protocol):
    """A part of the sink that stores a topic: `scores` or `dead letters`."""

    counts: SinkCounts
    liveness: Liveness

    @property
    def waiting(self) -> bool:
        """Whether ClickHouse or Kafka is away."""


class Samples(Protocol):
    """The latest answers of ClickHouse."""

    disks: list[Disk]
    drift: list[Drift]
    calibration: list[CalibrationSample]


class NoSamples:
    """What is known when nobody asks."""

    disks: list[Disk] = []  # noqa: RUF012 - never changed
    drift: list[Drift] = []  # noqa: RUF012
    calibration: list[CalibrationSample] = []  # noqa: RUF012


def sink_metrics(
    parts: Mapping[str, Part],
    lag: Callable[[], Sequence[PartitionLag]] = tuple,
    samples: Samples | None = None,
    forget_pending: Callable[[], int] = int,
) -> CollectorRegistry:
    """Return a registry that reads the parts, by name, and the last samples of Kafka and ClickHouse when scraped."""

    def collect() -> Iterator[Metric]:
        yield from _of_parts(parts)
        yield sample(LAG, {(each.consumer_group, each.topic, str(each.partition)): each.lag for each in lag()})
        yield sample(FORGET_PENDING, {(): forget_pending()})
        yield from _of_samples(samples or NoSamples())

    return registry_of(collect)


def _of_parts(parts: Mapping[str, Part]) -> Iterator[Metric]:
    for field, declared in COUNTERS.items():
        yield sample(declared, {(name,): getattr(part.counts, field) for name, part in parts.items()})
    for field, declared in HISTOGRAMS.items():
        yield histogram(declared, {(name,): getattr(part.counts, field) for name, part in parts.items()})
    yield sample(WAITING, {(name,): part.waiting for name, part in parts.items()})
    yield sample(COMMIT_AGE, {(name,): part.liveness.commit_age_seconds for name, part in parts.items()})


def _of_samples(samples: Samples) -> Iterator[Metric]:
    disks, calibration = samples.disks, samples.calibration
    yield sample(DISK_FREE, {(each.name,): each.free_bytes for each in disks})
    yield sample(DISK_TOTAL, {(each.name,): each.total_bytes for each in disks})
    yield sample(PSI, {(each.model, each.horizon): each.psi for each in samples.drift})
    yield sample(CALIBRATION, {(each.model, each.horizon): each.error for each in calibration})
    yield sample(CALIBRATION_SCORES, {(each.model, each.horizon): each.scores for each in calibration})
