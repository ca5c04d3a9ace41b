"""What runs beside the scores' part of the sink, each in a thread of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

import structlog

END_SECONDS: Final = 30.0
"""How long an end may take before it is left to the process's exit."""

log = structlog.get_logger()

Run = Callable[[Event], None]
"""Works until the event is set, then finishes what it has begun."""


class Background:
    """Threads that begin and end together; the failure of one ends all."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        """Take them by name; each line that one logs carries its name as `part`."""
        self._runs = runs
        self._failures: list[Exception] = []

    @contextmanager
    def __call__(self, stop: Event) -> Iterator[None]:
        """Run them during the block, which should end when `stop` is set; sets it at the block's end, or at a failure.

        Raises the first failure, if the block has none.
        """
        threads = [
            Thread(target=self._guarded, args=(name, run, stop), name=name, daemon=True)
            for name, run in self._runs.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(END_SECONDS)
        if self._failures:
            raise self._failures[0]

    def _guarded(self, name: str, run: Run, stop: Event) -> None:
        structlog.contextvars.bind_contextvars(part=name)
        try:
            run(stop)
        except Exception as failure:  # noqa: BLE001 - raised again by the thread that waits
            self._failures.append(failure)
            stop.set()
