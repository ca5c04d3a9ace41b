"""Every Prometheus metric of the worker, declared once; a scrape reads what the parts of the worker keep anyway."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from service.liveness import Liveness
from service.metrics import Declaration, histogram, info, registry_of, sample
from streams.observe.counts import CLAIM_REFUSALS, STAGES, Timings, WorkerCounts
from streams.observe.restore import Restore

COUNTERS: Final = {
    "events": Declaration(
        "counter", "cartcast_worker_events", "records of the events topic that were judged, whatever came of them"
    ),
    "scored": Declaration(
        "counter", "cartcast_worker_scores", "events that were accepted and whose scores are published"
    ),
    "recommendations": Declaration(
        "counter", "cartcast_worker_recommendations", "events that asked for it and whose recommendations are published"
    ),
    "without_items": Declaration(
        "counter",
        "cartcast_worker_without_items",
        "events that asked for a recommendation while there was no item to recommend; nothing is published for them",
    ),
    "duplicates": Declaration(
        "counter", "cartcast_worker_duplicates", "events whose event_id their shopper had already sent"
    ),
    "fenced": Declaration(
        "counter", "cartcast_worker_fenced", "partitions that another worker took over while this one still scored them"
    ),
    "fenced_scores": Declaration(
        "counter",
        "cartcast_worker_fenced_scores",
        "scores that this worker published of such partitions since it last committed: some are on the topic twice",
    ),
    "deleted": Declaration(
        "counter",
        "cartcast_worker_deleted_records",
        "offsets that the topic's retention took before the events were scored",
    ),
    "skipped": Declaration(
        "counter",
        "cartcast_worker_skipped_records",
        "offsets that a commit of somebody else in the workers' group left out: they are not scored",
    ),
    "without_consent": Declaration(
        "counter",
        "cartcast_worker_without_consent",
        "events that were left out because the shopper does not consent (`worker.consent_purposes`)",
    ),
    "forgotten_states": Declaration(
        "counter", "cartcast_worker_forgotten_states", "states that were emptied because somebody asked for it"
    ),
    "expired_states": Declaration(
        "counter",
        "cartcast_worker_expired_states",
        "states that were emptied because their shopper was not seen for `worker.state_days`",
    ),
    "impressions": Declaration(
        "counter",
        "cartcast_worker_impressions",
        "accepted events that say what was shown: they are among the scores, without propensities",
    ),
    "already_applied": Declaration(
        "counter", "cartcast_worker_already_applied", "events that came again after a restart and were skipped"
    ),
    "misplaced": Declaration(
        "counter",
        "cartcast_worker_misplaced",
        "events in another partition than their key leads to: look-ups, log-ins and requests to forget do not find "
        "their shoppers",
    ),
    "clock_ahead": Declaration(
        "counter",
        "cartcast_worker_clock_ahead",
        "events whose time lay further after their record's than `worker.clock_ahead_seconds`, or outside the years "
        "2000 to 2100, and which were applied as of their record's",
    ),
    "claims": Declaration(
        "counter",
        "cartcast_worker_claims",
        "events that claimed the state of an anonymous id for their user",
    ),
    "merges": Declaration(
        "counter", "cartcast_worker_merges", "states of anonymous ids that were merged into those of their users"
    ),
    "other_types": Declaration(
        "counter", "cartcast_worker_other_types", "accepted events of a type that Cartcast does not know"
    ),
}
"""By the field of `WorkerCounts`."""
CLAIMS_REFUSED: Final = Declaration(
    "counter",
    "cartcast_worker_claims_refused",
    "claims that came to nothing, by reason: `nothing` (the anonymous id has done nothing since it was joined last, or "
    "at all), `user` (it has claimed others itself), `claims` (more users have claimed it than `worker.most_claims`); "
    "and records of the identity topic that no worker wrote, `stranger`",
    ("reason",),
)
DEAD_LETTERS: Final = Declaration(
    "counter", "cartcast_worker_dead_letters", "records that went to the dead-letter topic, by reason", ("reason",)
)
MODEL: Final = Declaration(
    "info", "cartcast_worker_model", "1; the label is the version of the model that scores", ("version",)
)
LAG: Final = Declaration(
    "gauge",
    "cartcast_worker_consumer_lag",
    "records between what was taken of a partition of the events topic and its end, as of the last fetch",
    ("topic", "partition"),
)
BATCH: Final = Declaration("histogram", "cartcast_worker_batch_events", "events that were scored together")
STAGE: Final = Declaration(
    "histogram",
    "cartcast_worker_stage_seconds",
    f"seconds that one batch spent in a stage: {', '.join(STAGES)}; fetch contains the wait for records, append "
    "computes the features, inference contains the wait for the device, acknowledge is Kafka's confirmation, changelog "
    "the transaction of a commit, recommend all recommendations of a batch, beside the scoring of others",
    ("stage",),
)
DELAY: Final = Declaration(
    "histogram",
    "cartcast_worker_event_to_score_seconds",
    "seconds from Kafka's time of an event to the confirmation of its score",
)
MERGE_DELAY: Final = Declaration(
    "histogram",
    "cartcast_worker_log_in_to_merge_seconds",
    "seconds from Kafka's time of an event that claims the state of an anonymous id to its merge into the user's",
)
COMMITS: Final = Declaration("counter", "cartcast_worker_commits", "commits that Kafka took")
COMMIT_AGE: Final = Declaration(
    "gauge", "cartcast_worker_commit_age_seconds", "seconds for which records have waited for a commit; 0 if none waits"
)
RESTORED: Final = Declaration("counter", "cartcast_worker_restore_records", "records of the changelog that were read")
REMAINING: Final = Declaration(
    "gauge",
    "cartcast_worker_restore_remaining_records",
    "offsets of the changelog that the restore under way has not read",
)
RESTORE_SECONDS: Final = Declaration(
    "gauge", "cartcast_worker_restore_seconds", "seconds that the restore under way has taken, or the last one took"
)
RESTORING: Final = Declaration(
    "gauge", "cartcast_worker_restoring", "1 while states are restored from the changelog, else 0"
)
QUEUE_BYTES: Final = Declaration(
    "gauge", "cartcast_worker_queue_bytes", "bytes of records that wait for Kafka's confirmation"
)
QUEUE_MESSAGES: Final = Declaration(
    "gauge", "cartcast_worker_queue_messages", "records that wait for Kafka's confirmation"
)
UTILISATION: Final = Declaration(
    "gauge",
    "cartcast_worker_device_utilisation_ratio",
    "share of its time that the device is busy, 0 to 1; for `cpu`: this process's share of its cores since the last "
    "scrape",
    ("device",),
)
DEVICE_MEMORY: Final = Declaration(
    "gauge",
    "cartcast_worker_device_memory_bytes",
    "bytes of the device's memory that are in use; for `cpu`: this process's",
    ("device",),
)
PARTITIONS: Final = Declaration(
    "gauge", "cartcast_worker_assigned_partitions", "partitions of the events topic that it scores"
)
SHOPPERS: Final = Declaration("gauge", "cartcast_worker_shoppers", "shoppers whose sequence states it holds")
ITEMS: Final = Declaration(
    "gauge",
    "cartcast_worker_items",
    "items that it knows: from the items topic (`catalogue`), or only from events",
    ("known_from",),
)
ITEMS_REFUSED: Final = Declaration(
    "counter",
    "cartcast_worker_items_refused",
    "records of the items topic that are no items, by reason; each worker counts all of them again at its start",
    ("reason",),
)
SHIFT: Final = Declaration(
    "gauge",
    "cartcast_worker_level_shift",
    "how far the level correction moves the log-odds of an event of this moment, by horizon; none without a level",
    ("horizon",),
)
READY: Final = Declaration("gauge", "cartcast_worker_ready", "1 while /readyz answers 200, else 0")

DECLARED: Final = (
    *COUNTERS.values(),
    DEAD_LETTERS,
    CLAIMS_REFUSED,
    COMMITS,
    RESTORED,
    BATCH,
    STAGE,
    DELAY,
    MERGE_DELAY,
    LAG,
    COMMIT_AGE,
    REMAINING,
    RESTORE_SECONDS,
    RESTORING,
    QUEUE_BYTES,
    QUEUE_MESSAGES,
    UTILISATION,
    DEVICE_MEMORY,
    PARTITIONS,
    SHOPPERS,
    ITEMS,
    ITEMS_REFUSED,
    SHIFT,
    READY,
    MODEL,
)


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
    liveness: Liveness = field(default_factory=Liveness)
    restore: Restore = field(default_factory=Restore)
    lags: Callable[[], Mapping[int, int]] = dict
    """By partition of the topic."""
    queue: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Bytes and messages."""
    device: Callable[[], Use | None] = lambda: None
    shoppers: Callable[[], list[int]] = list
    """States held, by partition."""
    items: Callable[[], Mapping[str, int]] = dict
    """By where they are known from."""
    items_refused: Callable[[], Mapping[str, int]] = dict
    """By reason."""
    shifts: Callable[[], Mapping[str, float]] = dict
    """By horizon."""
    ready: Callable[[], bool] = lambda: False


def worker_metrics(counts: WorkerCounts, *, model: str, readings: Readings | None = None) -> CollectorRegistry:
    """Return a registry that reads `counts` and `readings` when it is scraped, in the thread that changes them."""
    known = readings or Readings()

    def collect() -> Iterator[Metric]:
        yield from _counters(counts, known)
        yield from _histograms(known.timings)
        yield from _gauges(known)
        yield from _labelled(known)
        yield info(MODEL, {"version": model})

    return registry_of(collect)


def _counters(counts: WorkerCounts, readings: Readings) -> Iterator[Metric]:
    for name, declared in COUNTERS.items():
        yield sample(declared, getattr(counts, name))
    yield sample(DEAD_LETTERS, {(reason,): count for reason, count in sorted(counts.dead_letters.items())})
    yield sample(CLAIMS_REFUSED, {(reason,): counts.claims_refused[reason] for reason in CLAIM_REFUSALS})
    yield sample(COMMITS, readings.liveness.commits)
    yield sample(RESTORED, readings.restore.records)


def _histograms(timings: Timings) -> Iterator[Metric]:
    yield histogram(BATCH, {(): timings.batch_events})
    yield histogram(STAGE, {(stage,): found for stage, found in timings.stages.items()})
    yield histogram(DELAY, {(): timings.event_to_score})
    yield histogram(MERGE_DELAY, {(): timings.log_in_to_merge})


def _gauges(readings: Readings) -> Iterator[Metric]:
    restore, shoppers = readings.restore, readings.shoppers()
    queue_bytes, queue_messages = readings.queue()
    yield sample(COMMIT_AGE, readings.liveness.commit_age_seconds)
    yield sample(REMAINING, restore.remaining)
    yield sample(RESTORE_SECONDS, restore.seconds)
    yield sample(RESTORING, restore.under_way)
    yield sample(QUEUE_BYTES, queue_bytes)
    yield sample(QUEUE_MESSAGES, queue_messages)
    yield sample(PARTITIONS, len(shoppers))
    yield sample(SHOPPERS, sum(shoppers))
    yield sample(READY, readings.ready())


def _labelled(readings: Readings) -> Iterator[Metric]:
    topic, use = readings.topic, readings.device()
    yield sample(ITEMS, {(known_from,): count for known_from, count in readings.items().items()})
    yield sample(ITEMS_REFUSED, {(reason,): count for reason, count in sorted(readings.items_refused().items())})
    yield sample(SHIFT, {(horizon,): shift for horizon, shift in readings.shifts().items()})
    yield sample(LAG, {(topic, str(partition)): lag for partition, lag in readings.lags().items()})
    yield sample(UTILISATION, {} if use is None or use.utilisation is None else {(use.device,): use.utilisation})
    yield sample(DEVICE_MEMORY, {} if use is None or use.memory_bytes is None else {(use.device,): use.memory_bytes})
