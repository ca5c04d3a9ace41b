"""Ends a worker that no longer gets on, from a thread of its own: the event loop itself may be what hangs.

Whatever a worker has not committed comes again to whoever takes its partitions, so that ending it costs a restart and
no event. What waits for Kafka is not stuck: it goes on when Kafka does, and a restart would not help.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread, main_thread
from types import FrameType
from typing import Final

from service.liveness import Liveness
from service.stopping import end_with_stacks

_TICK_SECONDS: Final = 1.0
_MISSED_BEATS: Final = 2.5
_FORGIVEN_TICKS: Final = 3
"""A tick that is so late says that the whole process stood still, which is not the event loop's fault."""


@dataclass
class Watchdog:
    """Looks once a second; `stalled_seconds` of 0 means that only the drain has a limit."""

    liveness: Liveness
    """Of the event loop and the commits."""
    followed: Liveness
    """Of the thread that reads what lanes follow."""
    stalled_seconds: float
    drain_seconds: float
    kafka_answers: Callable[[], bool]
    kafka_answered_since: Callable[[float], bool]
    """Takes a moment of the clock."""
    stopping: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    end: Callable[[str], None] = end_with_stacks
    _looked_at: float | None = None
    _suspected_at: float | None = None
    _stopping_since: float | None = None

    def __post_init__(self) -> None:
        self._stop = Event()
        self._thread = Thread(target=self._run, name="watchdog", daemon=True)
        self._not_before = self._away_at = self.clock()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> str | None:
        """Return why the process must end, None while it need not."""
        now, looked_at = self.clock(), self._looked_at
        self._looked_at = now
        if looked_at is not None and now - looked_at > _FORGIVEN_TICKS * _TICK_SECONDS:
            self._not_before = now
            self.liveness.progressed()
        if not self.kafka_answers():
            self._away_at = now
            self.liveness.progressed()
        if self.stopping():
            return self._drains_too_long(now)
        return self._stuck(min(self.liveness.silent_seconds, now - self._not_before)) if self.stalled_seconds else None

    def _stuck(self, silent_seconds: float) -> str | None:
        if silent_seconds > self.stalled_seconds:
            return self._advice(f"the event loop has not turned for {self.stalled_seconds:g} seconds ({_position()})")
        if self._commits_are_stuck(self.clock()) and silent_seconds < _MISSED_BEATS * _TICK_SECONDS:
            return self._advice(f"nothing was committed for {self.stalled_seconds:g} seconds while records wait")
        if self.liveness.unanswered_seconds > self.stalled_seconds:
            return self._advice(f"the consumer group has not answered for {self.stalled_seconds:g} seconds")
        answered_seconds = self.clock() - max(self._not_before, self._away_at)
        if min(self.followed.silent_seconds, answered_seconds) > self.stalled_seconds:
            return self._advice(f"what lanes follow was not read for {self.stalled_seconds:g} seconds")
        return None  # a loop that may hang is reported soon, with its position

    def _commits_are_stuck(self, now: float) -> bool:
        """Whether commits do not advance although Kafka, asked for that reason, answers."""
        if self.liveness.stalled_seconds <= self.stalled_seconds:
            self._suspected_at = None
            return False
        self._suspected_at = now if self._suspected_at is None else self._suspected_at
        return self.kafka_answered_since(self._suspected_at)

    def _drains_too_long(self, now: float) -> str | None:
        self._stopping_since = now if self._stopping_since is None else self._stopping_since
        if now - self._stopping_since <= self.drain_seconds:
            return None
        return (
            f"the drain took longer than {self.drain_seconds:g} seconds (worker.drain_seconds): ended without it; no "
            "event is lost, what was not committed is scored again; look whether Kafka answers (`cartcast doctor`)"
        )

    def _advice(self, what: str) -> str:
        return (
            f"{what}: this worker ends itself, to be started again (worker.stalled_seconds); no event is lost; "
            "if it comes back, look at the stacks before this line and at /metrics"
        )

    def _run(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            if (line := self.look()) is not None:
                self.end(line)
                return


def _position() -> str:
    """Return the function and line in which the main thread, which runs the event loop, is."""
    frame: FrameType | None = sys._current_frames().get(main_thread().ident or 0)
    return "unknown where" if frame is None else f"in {frame.f_code.co_name}, line {frame.f_lineno}"
