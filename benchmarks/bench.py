"""What every measurement shares: the sizes of a run, the broker, a folder, and whom to tell how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.events import Shop
from benchmarks.processes import Usage
from benchmarks.topics import Broker
from cartcast.local.stack import LocalStack

Report = Callable[[str], None]
COMMIT_MS: Final = 1000
"""How often every program makes its states durable."""


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    mode: str
    events: int
    """Measured; `warm_up_events` come before them."""
    warm_up_events: int
    shoppers: int
    repetitions: int
    delay_seconds: float
    state_shoppers: int
    """For bytes a shopper and the restore."""
    many_shoppers: int
    """Streamed through once; 0: not at all."""

    @property
    def all_events(self) -> int:
        return self.warm_up_events + self.events

    def shop(self, *, hot_share: float = 0.0) -> Shop:
        """Return the shop that every program reads."""
        return Shop(self.all_events, self.shoppers, hot_share)


FULL: Final = Scale("full", 1_000_000, 200_000, 100_000, 3, 20.0, 1_000_000, 10_000_000)
QUICK: Final = Scale("quick", 200_000, 50_000, 20_000, 1, 5.0, 50_000, 0)


@dataclass(frozen=True)
class Bench:
    """A running broker and where to work."""

    stack: LocalStack
    broker: Broker
    broker_usage: Callable[[], Usage]
    directory: Path
    cache: Path
    scale: Scale
    report: Report
