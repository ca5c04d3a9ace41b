"""Whether Kafka answers, asked by a thread of its own, so that no page and no check waits for it."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

_SECONDS: Final = 2.0
_STALE_SECONDS: Final = 20.0
"""An answer that is older says nothing: the next one hangs."""


class Probe:
    """Asks one question again and again; `ask` tells whether all is well, in its own time."""

    def __init__(
        self, ask: Callable[[], bool], *, seconds: float = _SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._answer = False
        self._at: float | None = None
        self._asked_at = 0.0
        self._stop = Event()
        self._thread = Thread(target=self._run, name="kafka-probe", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a question that is being asked is left alone."""
        self._stop.set()

    @property
    def answers(self) -> bool:
        """Whether the last answer was yes, and is not old."""
        return self._answer and self._at is not None and self._clock() - self._at <= _STALE_SECONDS

    def answered_since(self, moment: float) -> bool:
        """Tell whether a question that was asked after this moment of the clock was answered with yes."""
        return self._answer and self._asked_at >= moment

    def _run(self) -> None:
        while not self._stop.is_set():
            asked_at = self._clock()
            self._answer, self._at, self._asked_at = self._ask(), self._clock(), asked_at
            self._stop.wait(self._seconds)
