"""How far the restore of sequence states has come, for metrics and for those who wait for it."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

_LOG_EVERY_RECORDS: Final = 100_000
_log: Final = structlog.get_logger()


class Restore:
    """Changelog records that were read and that are left; a thread a partition reads them, any thread asks."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, on_records: Callable[[], None] = lambda: None
    ) -> None:
        self.on_records = on_records
        """Called by the reader whenever records have arrived."""
        self.records = 0
        """Read since the worker started."""
        self.under_way = False
        self._clock = clock
        self._remaining: dict[int, int] = {}
        self._began_at = self._ended_at = 0.0
        self._lock = threading.Lock()

    def begin(self, remaining: Mapping[int, int]) -> None:
        """Note that these partitions have so many records left, whatever was under way before."""
        self._remaining = dict(remaining)
        self.under_way = bool(remaining)
        if remaining:
            self._began_at = self._clock()

    def progress(self, partition: int) -> Callable[[int, int], None]:
        """Return what takes the records of a partition read so far, and how many are left."""
        before = logged = 0

        def note(records: int, remaining: int) -> None:
            nonlocal before, logged
            with self._lock:
                self.records += records - before
            before = records
            self._remaining[partition] = remaining
            if records - logged >= _LOG_EVERY_RECORDS:
                logged = records
                _log.info("restoring", partition=partition, records=records, remaining=remaining)

        return note

    def end(self) -> None:
        """Note that everything is restored."""
        if self.under_way:
            self.under_way, self._ended_at = False, self._clock()
        self._remaining = {}

    @property
    def remaining(self) -> int:
        return sum(list(self._remaining.values())) if self.under_way else 0

    @property
    def seconds(self) -> float:
        """How long the restore under way has taken, or the last one took; 0 before the first."""
        return (self._clock() if self.under_way else self._ended_at) - self._began_at
