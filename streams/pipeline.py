"""What every lane shares: the scoring, the producer, the clock, the counts."""

from collections.abc import Callable
from dataclasses import dataclass, field

from model.decode import decode_events
from model.events import MakeScore, Score
from model.formats.records import Decode
from model.heads import NO_HEADS, HeadNames
from service.kafka_settings import Topics
from streams.joint_scoring import JointScoring
from streams.observe.counts import Counts, Timings
from streams.observe.spans import NO_SPANS, Spans
from streams.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts that lanes work with."""

    topics: Topics
    publisher: Publisher
    scoring: JointScoring
    model_version: str
    clock_ms: Callable[[], int]
    counts: Counts
    timings: Timings = field(default_factory=Timings)
    spans: Spans = NO_SPANS
    decode: Decode = decode_events
    """From the events topic's records to events and rejects."""
    make_score: MakeScore = Score
    """The score type of the model's horizons and extra heads."""
    head_names: HeadNames = NO_HEADS
    """What the classes of the extra heads are called; there are none by default."""
