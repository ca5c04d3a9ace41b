"""Where librdkafka logs: with everything else, instead of to stderr in a form of its own, and nothing every moment."""

import logging
import time
from collections.abc import Callable
from typing import Final

_SECONDS: Final = 60.0
_MOST_KNOWN: Final = 1000


class Repeats(logging.Filter):
    """Drops a line that was told within the last minute: a broker that is away is tried ten times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        line, now = record.getMessage(), self._clock()
        if now - self._told.get(line, -_SECONDS) < _SECONDS:
            return False
        if len(self._told) >= _MOST_KNOWN:
            self._told.clear()
        self._told[line] = now
        return True


LIBRDKAFKA: Final = logging.getLogger("librdkafka")
LIBRDKAFKA.addFilter(Repeats())
