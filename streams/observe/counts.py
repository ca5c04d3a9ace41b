"""What a worker has done, and how long the stages of scoring take: two readings of a clock per batch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Final

from model.identity import CLAIMED_TOO_OFTEN, IS_USER, NOTHING
from service.metrics import Histogram

STAGES: Final = ("fetch", "decode", "append", "inference", "encode", "produce", "acknowledge", "changelog", "recommend")
STRANGER: Final = "stranger"
"""Why a record of the identity topic comes to nothing that is neither claim nor transfer."""
CLAIM_REFUSALS: Final = (NOTHING, IS_USER, CLAIMED_TOO_OFTEN, STRANGER)
_STAGE_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_DELAY_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_MERGE_BOUNDS: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10, 60, 300)
_BATCH_BOUNDS: Final = (1, 5, 20, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 50_000)


@dataclass(slots=True)
class WorkerCounts:
    """What this worker has done since it started."""

    events: int = 0
    scored: int = 0
    impressions: int = 0
    duplicates: int = 0
    already_applied: int = 0
    other_types: int = 0
    misplaced: int = 0
    clock_ahead: int = 0
    fenced: int = 0
    fenced_scores: int = 0
    deleted: int = 0
    skipped: int = 0
    without_consent: int = 0
    forgotten_states: int = 0
    expired_states: int = 0
    recommendations: int = 0
    without_items: int = 0
    """Events at which there was no item to recommend."""
    claims: int = 0
    merges: int = 0
    claims_refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def as_dict(self) -> dict[str, object]:
        """Return the counts as a log line's fields."""
        return asdict(self) | {
            "dead_letters": dict(self.dead_letters),
            "claims_refused": {reason: count for reason, count in self.claims_refused.items() if count},
        }


@dataclass(frozen=True, slots=True)
class Timings:
    """Distributions of durations, in seconds, and of batch sizes; each is added to by one thread at a time."""

    stages: dict[str, Histogram] = field(default_factory=lambda: {stage: Histogram(_STAGE_BOUNDS) for stage in STAGES})
    event_to_score: Histogram = field(default_factory=lambda: Histogram(_DELAY_BOUNDS))
    """From Kafka's time of an event to the confirmation of its score."""
    log_in_to_merge: Histogram = field(default_factory=lambda: Histogram(_MERGE_BOUNDS))
    """From Kafka's time of an event that claims an anonymous id to the merge of the states; added to by `Identity`."""
    batch_events: Histogram = field(default_factory=lambda: Histogram(_BATCH_BOUNDS))
    """Events that were scored together."""
    clock: Callable[[], float] = perf_counter

    def lap(self, stage: str, since: float) -> float:
        """Note that a stage which began at `since` ends now; return now, for the next one."""
        now = self.clock()
        self.stages[stage].add(now - since)
        return now
