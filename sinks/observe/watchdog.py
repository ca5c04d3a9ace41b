"""Ends a sink of which a part no longer turns, from a thread of its own: what hangs may be a call that never returns.

A part turns when its Kafka client gets on and it polls (`sinks/kafka.py`). Whenever a sink ends, whoever comes after it
stores the same rows once, so that ending it costs a restart. What waits for a server is not stuck.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Final

from service.errors import CartcastError
from service.liveness import Liveness
from service.stopping import end_with_stacks

LOOK_SECONDS: Final = 20.0
"""Between two looks a server that has just come back gives a part time to turn."""


@dataclass
class Watchdog:
    """Looks at parts by name; `ask` asks Kafka and ClickHouse, each call one of them, and raises CartcastError."""

    parts: Mapping[str, Liveness]
    ask: Collection[Callable[[], None]]
    stalled_seconds: float
    clock: Callable[[], float] = time.monotonic
    end: Callable[[str], None] = end_with_stacks
    _suspected: frozenset[str] = frozenset()
    _looked_at: float | None = None

    def run(self, stop: Event) -> None:
        """Look until `stop` is set, or the process has to end."""
        while not stop.wait(LOOK_SECONDS):
            if (line := self.look()) is not None:
                self.end(line)
                return

    def look(self) -> str | None:
        """Return why the process must end, None while it need not."""
        now = self.clock()
        stood_still = self._looked_at is not None and now - self._looked_at > 3 * LOOK_SECONDS
        self._looked_at = now
        silent = {name for name, part in self.parts.items() if part.silent_seconds > self.stalled_seconds}
        if stood_still or not silent or not self._servers_answer():
            self._suspected = frozenset()
            return None
        stuck, self._suspected = silent & self._suspected, frozenset(silent)
        if not stuck:
            return None
        return (
            f"{' and '.join(sorted(stuck))}: not a turn for {self.stalled_seconds:g} seconds though Kafka and "
            "ClickHouse answer: this sink ends itself, to be started again (sink.stalled_seconds); no row is lost or "
            "doubled; if it comes back, look at the stacks before this line"
        )

    def _servers_answer(self) -> bool:
        try:
            for ask in self.ask:
                ask()
        except CartcastError:
            return False
        return True
