"""What a sink did, for metrics and for a log line about it from time to time."""

from collections.abc import Callable
from typing import Final

import structlog

from service.metrics import Histogram

PROGRESS_SECONDS: Final = 10.0
ROWS_BOUNDS: Final = (1, 10, 100, 1_000, 5_000, 20_000, 50_000, 100_000, 1_000_000)
SECONDS_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

log = structlog.get_logger()


class SinkCounts:
    """What this sink did since it started."""

    def __init__(self) -> None:
        self.stored = 0
        self.repeats = 0
        self.dead_letters = 0
        self.strangers = 0
        self.deleted = 0
        self.forgotten = 0
        self.blocks = 0
        self.retries = 0
        self.block_rows = Histogram(ROWS_BOUNDS)
        self.insert_seconds = Histogram(SECONDS_BOUNDS)

    def as_dict(self) -> dict[str, int]:
        """Return what became of records."""
        return {"stored": self.stored, "repeats": self.repeats, "dead_letters": self.dead_letters}

    def settled(self, stored: int, repeats: int, dead_letters: int, strangers: int = 0) -> None:
        """Count a block of which so many records were stored, skipped and refused, `strangers` among the last."""
        self.blocks += 1
        self.block_rows.add(stored)
        self.stored += stored
        self.repeats += repeats
        self.dead_letters += dead_letters
        self.strangers += strangers


class Progress:
    """Says what was done, if anything was."""

    def __init__(self, counts: SinkCounts, clock: Callable[[], float]) -> None:
        self._counts = counts
        self._clock = clock
        self._next = clock() + PROGRESS_SECONDS
        self._reported = counts.as_dict()

    def report(self) -> None:
        """Log a line if the last one is old; call it often."""
        if self._clock() >= self._next:
            self._next = self._clock() + PROGRESS_SECONDS
            if self._counts.as_dict() != self._reported:
                self._reported = self._counts.as_dict()
                log.info("progress", **self._reported)
