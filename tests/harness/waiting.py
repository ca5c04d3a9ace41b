"""Waiting for what comes by itself: for as long as it takes, up to a limit that only what hangs reaches."""

import time
from collections.abc import Callable

DEADLINE_SECONDS = 240.0
"""Below pytest's own timeout, so that a test which waits in vain says what for."""


def eventually(condition: Callable[[], object], what: str, *, found: Callable[[], object] = lambda: "") -> None:
    """Return once `condition` holds; `found` is what a failure shows of the state of things."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}: {found()}"
        time.sleep(0.02)
