"""Looks at the pipeline from outside: what was sent, what the topics hold, what the table holds."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from confluent_kafka import Consumer

from cartcast.demo.delays import DelaySummary
from cartcast.demo.readback import TopicEnd
from cartcast.demo.shoppers import Shoppers
from cartcast.demo.view import Buyer, Snapshot
from service.kafka_settings import Topics

RATE_SECONDS: Final = 0.5
RATES_KEPT: Final = 60
QUIET_SECONDS: Final = 60.0


class Live(Protocol):
    """What only someone who reads along knows."""

    def delay(self) -> DelaySummary | None: ...

    def buyers(self) -> Sequence[Buyer]: ...


class Meter:
    """Turns a growing count into rates, one for each half second."""

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=RATES_KEPT)
        self._count = 0
        self._seconds: float | None = None

    def add(self, count: int, now_seconds: float) -> None:
        """Take the count as it is now."""
        if self._seconds is None:
            self._seconds = now_seconds
        elapsed = now_seconds - self._seconds
        if elapsed >= RATE_SECONDS:
            self.rates.append((count - self._count) / elapsed)
            self._count, self._seconds = count, now_seconds


@dataclass(frozen=True)
class DemoCounts:
    """How far each stage was at the last look."""

    scores: int = 0
    rows: int = 0
    dead_letters: int = 0


class Watch:
    """Takes counts and makes snapshots of them; reads nothing that the watched processes say of themselves."""

    def __init__(  # noqa: PLR0913 - the three things it looks at, and how
        self,
        client_config: Mapping[str, Any],
        topics: Topics,
        count_rows: Callable[[], int],
        shoppers: Shoppers,
        live: Live | None,
        *,
        total_events: int | None,
        where: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = DemoCounts()
        self._changed_seconds = clock()
        self._consumer = Consumer({**client_config, "group.id": "cartcast-demo-watch", "log_level": 0})
        self._scores = TopicEnd(self._consumer, topics.scores)
        self._dead_letters = TopicEnd(self._consumer, topics.dead_letters)
        self._count_rows = count_rows
        self._shoppers = shoppers
        self._live = live
        self._total_events = total_events
        self._where = where
        self._clock = clock
        self._last_stages = (0, self.counts)
        self._meters = {"events": Meter(), "scores": Meter(), "rows": Meter()}

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def is_complete(self) -> bool:
        """Whether as many rows are stored as different events were sent, less the dead letters."""
        return self._shoppers.finished and self.counts.rows >= self._shoppers.distinct - self.counts.dead_letters

    @property
    def is_stalled(self) -> bool:
        """Whether nothing has moved for a minute although everything was sent."""
        return self._shoppers.finished and self._clock() - self._changed_seconds > QUIET_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds from the first event sent to the last look that saw something new."""
        return max(0.0, self._changed_seconds - (self._shoppers.started_seconds or self._changed_seconds))

    @property
    def is_nearly_complete(self) -> bool:
        """Whether the last row is near, so that looking often pays."""
        return self._shoppers.finished and self.counts.rows >= 0.8 * self._shoppers.distinct

    def look(self) -> None:
        """Count everything again; the rows last, since they come last."""
        self._update(
            DemoCounts(
                scores=self._scores.records(),
                dead_letters=self._dead_letters.records(),
                rows=self._count_rows(),
            )
        )

    def look_at_rows(self) -> None:
        """Count the rows again, which is cheap."""
        self._update(replace(self.counts, rows=self._count_rows()))

    def _update(self, counts: DemoCounts) -> None:
        now_seconds = self._clock()
        stages = (self._shoppers.sent, counts)
        if stages != self._last_stages:
            self._last_stages = stages
            self._changed_seconds = now_seconds
        self.counts = counts
        for name, count in self._stage_counts().items():
            self._meters[name].add(count, now_seconds)

    def snapshot(self, note: str = "") -> Snapshot:
        """Return what the last look saw."""
        return Snapshot(
            elapsed_seconds=self.seconds,
            **self._stage_counts(),
            duplicates=self._shoppers.duplicates,
            dead_letters=self.counts.dead_letters,
            delay=self._live.delay() if self._live else None,
            total_events=self._total_events,
            event_rates=tuple(self._meters["events"].rates),
            score_rates=tuple(self._meters["scores"].rates),
            row_rates=tuple(self._meters["rows"].rates),
            buyers=self._live.buyers() if self._live else (),
            where=self._where,
            note=note,
        )

    def _stage_counts(self) -> dict[str, int]:
        return {"events": self._shoppers.sent, "scores": self.counts.scores, "rows": self.counts.rows}
