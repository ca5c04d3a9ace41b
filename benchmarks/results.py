"""What one run of the benchmark has found, as it is written to the JSON line and read back for the page."""

from statistics import median
from typing import Final, Self

import msgspec

OURS: Final = "Cartcast"
"""What the names of Cartcast's own contestants begin with."""


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """One program on a preloaded topic, after it is warm."""

    events_per_second: float
    program_us: float
    """CPU microseconds an event of all its processes."""
    broker_us: float
    memory_bytes: float
    """The most that all its processes held resident at a time."""
    start_seconds: float
    """From its start to its first score."""

    @classmethod
    def median(cls, runs: "list[Self]") -> Self:
        """Return the median of each figure."""
        return cls(**{name: float(median(getattr(run, name) for run in runs)) for name in cls.__struct_fields__})

    @property
    def cpu_us(self) -> float:
        """Program and broker together."""
        return self.program_us + self.broker_us


class Contestant(msgspec.Struct, kw_only=True):
    """A program and its runs; `failure` says why there are none, or fewer."""

    name: str
    how: str
    events: int
    runs: list[Speed] = []
    failure: str = ""

    @property
    def speed(self) -> Speed | None:
        """The median."""
        return Speed.median(self.runs) if self.runs else None


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """Producer, broker, worker, sink and engine at once, from the first event produced to the last row."""

    events_per_second: float
    cpu_us: dict[str, float]
    """An event, by part."""
    memory_bytes: dict[str, float]

    @property
    def scoring_cpu_us(self) -> float:
        """Without the producer, which is the shop's."""
        return sum(cost for part, cost in self.cpu_us.items() if part != "producer")


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from an event's CreateTime to its score's LogAppendTime, at one rate."""

    load: str
    events_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    scores: int


class States(msgspec.Struct, frozen=True, kw_only=True):
    """What a shopper's state takes, and how long it takes to read all of them back."""

    shoppers: int
    memory_bytes_a_shopper: float
    changelog_bytes_a_shopper: float
    restore_seconds: float
    ready_seconds: float
    """From the start of the process until it is ready."""

    @property
    def restore_seconds_a_million(self) -> float:
        return self.restore_seconds / self.shoppers * 1e6


class ManyShoppers(msgspec.Struct, frozen=True, kw_only=True):
    """Events of ever new shoppers, streamed through one worker."""

    shoppers: int
    memory_bytes: float
    """The most that the worker held resident."""
    events_per_second: float
    ended: str
    """Why it ended early, or that every shopper was scored."""


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """CPU of the items for one shopper, in a shop of so many items; medians."""

    items: int
    listed: int
    """How many of them are answered."""
    events: int
    """Of the shopper, with an item."""
    cpu_ms: float
    """The best of all items, and what each event adds to each of those."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    load_before: float
    """Load average: what else it had to do."""


class Size(msgspec.Struct, kw_only=True):
    """How much was done."""

    mode: str
    events: int
    warm_up_events: int
    shoppers: int
    partitions: int
    repetitions: int
    event_bytes: float = 0.0
    """Key and value of a record, on average."""


class Results(msgspec.Struct, kw_only=True):
    """Everything."""

    date: str
    command: str
    version: str
    machine: Machine
    size: Size
    core_hour_dollars: float
    contestants: list[Contestant] = []
    stages_us: dict[str, float] = {}
    """Wall time of the worker's stages, microseconds an event, as its own metrics have them."""
    pipeline: Pipeline | None = None
    delays: list[Delay] = []
    states: States | None = None
    many_shoppers: ManyShoppers | None = None
    recommendations: list[Recommendation] = []
    failures: dict[str, str] = {}
    """By part of the benchmark: why it has no result."""

    @property
    def own_failures(self) -> list[str]:
        """What went wrong with Cartcast; a peer that cannot be fetched is nobody's fault here."""
        ours = [each.failure for each in self.contestants if each.failure and each.name.startswith(OURS)]
        return [*ours, *self.failures.values()]

    def dollars_a_million(self, cpu_us_an_event: float) -> float:
        """Return the price of the cores for a million scores."""
        core_hours = cpu_us_an_event * 1e6 / 1e6 / 3600
        return core_hours * self.core_hour_dollars

    def json_line(self) -> str:
        return msgspec.json.encode(self).decode()


def read_results(text: str) -> Results:
    """Read a JSON line; raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=Results)
