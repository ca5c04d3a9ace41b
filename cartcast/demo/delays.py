"""The delay from event to score, from the two records' own times."""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Position: TypeAlias = tuple[int, int]
"""Partition and offset of a record in the events topic."""


@dataclass(frozen=True)
class DelaySummary:
    """Milliseconds from an event's CreateTime to its score's LogAppendTime."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class Delays:
    """Joins scores to their events by source position; either may come first."""

    def __init__(self, keep: int | None = None) -> None:
        """`keep`: summarise only so many of the latest delays; all of them if None."""
        self._created_ms: dict[Position, int] = {}
        self._scored_ms: dict[Position, int] = {}
        self._delays_ms: deque[int] = deque(maxlen=keep)

    def add_event(self, position: Position, created_ms: int) -> None:
        """Take an event's time of production."""
        scored_ms = self._scored_ms.pop(position, None)
        if scored_ms is None:
            self._created_ms[position] = created_ms
        else:
            self._delays_ms.append(scored_ms - created_ms)

    def add_score(self, position: Position, appended_ms: int) -> None:
        """Take the time at which the score of the event at `position` reached its topic."""
        created_ms = self._created_ms.pop(position, None)
        if created_ms is None:
            self._scored_ms[position] = appended_ms
        else:
            self._delays_ms.append(appended_ms - created_ms)

    def summary(self) -> DelaySummary | None:
        """Return None as long as no event has met its score."""
        if not self._delays_ms:
            return None
        delays_ms = np.fromiter(self._delays_ms, np.int64, len(self._delays_ms))
        p50_ms, p99_ms, max_ms = np.percentile(delays_ms, [50, 99, 100])
        return DelaySummary(*(round(float(delay_ms), 1) for delay_ms in (p50_ms, p99_ms, max_ms)))
