"""What a sink did, and a log line about it from time to time."""

from collections.abc import Callable
from typing import Final

import structlog

PROGRESS_SECONDS: Final = 10.0

log = structlog.get_logger()


class Counts:
    """What this sink did since it started."""

    def __init__(self) -> None:
        self.stored = 0
        self.repeats = 0
        self.dead_letters = 0

    def as_dict(self) -> dict[str, int]:
        return {"stored": self.stored, "repeats": self.repeats, "dead_letters": self.dead_letters}


class Progress:
    """Says what was done, if anything was."""

    def __init__(self, counts: Counts, clock: Callable[[], float]) -> None:
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
