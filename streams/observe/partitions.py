"""Notices that partitions were added to a topic while a worker runs.

Kafka's clients learn of it within five minutes, and scoring then fails at the first partition that the other topics
lack. A worker ends before that, with what to do: its share of the partitions is another one now.
"""

from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import structlog

from service.errors import CartcastError, UnavailableError

SECONDS: Final = 20.0

_log: Final = structlog.get_logger()


class PartitionWatch:
    """Calls `check` again and again in a thread of its own; the first refusal goes to `on_refusal`, and ends it."""

    def __init__(
        self, check: Callable[[], None], on_refusal: Callable[[CartcastError], None], *, seconds: float = SECONDS
    ) -> None:
        """`check` raises UnavailableError if Kafka does not answer, another CartcastError if partitions changed."""
        self._check = check
        self._on_refusal = on_refusal
        self._seconds = seconds
        self._stop = Event()

    def start(self) -> None:
        """Watch until `stop`."""
        Thread(target=self.run, name="partitions", daemon=True).start()

    def stop(self) -> None:
        """Watch no more; a question that is being asked is left alone."""
        self._stop.set()

    def run(self) -> None:
        """Watch until `stop` or the first refusal."""
        while not self._stop.wait(self._seconds):
            try:
                self._check()
            except UnavailableError as failure:
                _log.debug("partitions are not known", reason=str(failure))
            except CartcastError as refusal:
                self._on_refusal(refusal)
                return
