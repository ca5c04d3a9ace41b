"""A table whose inserts are timed."""

import time
from collections.abc import Callable, Sequence

from service.metrics import Distribution
from sinks.bookmark import Source
from sinks.errors import RowsRefusedError
from sinks.pulse import Pulse
from sinks.table import ScoresTable


class TimedTable:
    """Passes everything on to a table; `seconds` gets how long each answered insert took, `pulse` that it was."""

    def __init__(
        self, table: ScoresTable, seconds: Distribution, pulse: Pulse, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._seconds = seconds
        self._pulse = pulse
        self._clock = clock

    def check(self) -> None:
        self._table.check()

    def insert(self, rows: Sequence[bytes], token: str) -> None:
        since = self._clock()
        try:
            self._table.insert(rows, token)
        except RowsRefusedError:
            self._pulse.answered()
            raise
        self._seconds.add(self._clock() - since)
        self._pulse.answered()

    def count(self, source: Source, first: int, last: int) -> int | None:
        return self._table.count(source, first, last)

    def close(self) -> None:
        self._table.close()
