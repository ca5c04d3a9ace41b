"""What every lane shares: the model, the producer, the clock, the counts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from model.states import StateCodec
from model.worker import InferenceWorker
from streams.publisher import Publisher
from streams.settings import Topics


@dataclass(slots=True)
class Counts:
    """What this worker has done since it started."""

    events: int = 0
    scored: int = 0
    duplicates: int = 0
    already_applied: int = 0
    other_types: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def as_dict(self) -> dict[str, object]:
        """Return the counts as a log line's fields."""
        return asdict(self) | {"dead_letters": dict(self.dead_letters)}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts that lanes work with."""

    topics: Topics
    publisher: Publisher
    inference: InferenceWorker
    codec: StateCodec
    model_version: str
    source_code: int
    """The hash by which sequence states know this events topic."""
    clock_ms: Callable[[], int]
    counts: Counts = field(default_factory=Counts)
