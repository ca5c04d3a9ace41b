"""Waiting for what comes by itself: for as long as it takes, up to a limit that only what hangs reaches."""

import time
from collections.abc import Callable

DEADLINE_SECONDS = 240.0
"""Below pytest's own timeout, so that a test which waits in vain says what for."""


def eventually(condition: Callable[[], object], what: str, *, found: Callable[[], object] = lambda: "") -> None:
    """Return once `condition` holds; `found` is what a failure shows of the state of things.

    It asks the less often the longer it waits: an answer costs Kafka or ClickHouse CPU that what is awaited needs.
    """
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < DEADLINE_SECONDS, f"waited in vain for {what}: {found()}"
        time.sleep(min(0.02 + 0.05 * waited, 0.1))
