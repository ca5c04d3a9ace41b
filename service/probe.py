"""Whether Kafka or ClickHouse answers, asked in a thread of its own, so that no page and no check waits for it."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import structlog

from service.errors import CartcastError, UnavailableError
from service.health import OK

NOT_ASKED: Final = "not asked yet"
SECONDS: Final = 2.0
STALE_SECONDS: Final = 30.0
"""An older answer means nothing: the next question hangs."""

log = structlog.get_logger()


class Probe:
    """Asks one question again and again; `ask` returns if all is well, or raises CartcastError."""

    def __init__(
        self, ask: Callable[[], None], *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._answer = NOT_ASKED
        self._answered_at = self._asked_at = 0.0
        self._stop = Event()

    def start(self) -> None:
        """Ask in a thread of its own until `stop`."""
        Thread(target=self.run, args=[self._stop], name="probe", daemon=True).start()

    def stop(self) -> None:
        """Ask no more; a question that is being asked is left alone."""
        self._stop.set()

    def run(self, stop: Event) -> None:
        """Ask until `stop` is set, the first time at once."""
        pause = 0.0
        while not stop.wait(pause):
            asked_at, answer = self._clock(), self._asked()
            if answer not in (OK, self._answer):
                log.warning("not ready", reason=answer)
            self._answer, self._answered_at, self._asked_at = answer, self._clock(), asked_at
            pause = self._seconds

    def answer(self) -> str:
        """Return `ok`, or what is wrong in words that anybody may read: no address, no user."""
        if self._answer == NOT_ASKED:
            return NOT_ASKED
        age = self._clock() - self._answered_at
        return self._answer if age <= STALE_SECONDS else f"has not answered for {age:.0f} seconds"

    @property
    def answers(self) -> bool:
        """Whether all is well."""
        return self.answer() == OK

    def answered_since(self, moment: float) -> bool:
        """Whether a question that was asked after this moment of the clock was answered, and all was well."""
        return self._answer == OK and self._asked_at >= moment

    def _asked(self) -> str:
        try:
            self._ask()
        except UnavailableError:
            return "does not answer"
        except CartcastError as failure:
            log.debug("not ready", reason=str(failure))
            return "refuses, or lacks a table: `cartcast doctor` says what"
        return OK
