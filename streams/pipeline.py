"""What every lane shares: the scoring, the producer, the clock, the counts."""

from collections.abc import Callable
from dataclasses import dataclass

from streams.counts import Counts
from streams.joint_scoring import JointScoring
from streams.publisher import Publisher
from streams.settings import Topics


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts that lanes work with."""

    topics: Topics
    publisher: Publisher
    scoring: JointScoring
    model_version: str
    clock_ms: Callable[[], int]
    counts: Counts
