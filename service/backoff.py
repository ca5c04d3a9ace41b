"""How long to wait before trying again what has failed: a little, then longer, up to a limit."""

from collections.abc import Callable
from typing import Final

FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 15.0


class Backoff:
    """Exponential backoff: doubles its pause at every failure and forgets all at the first success."""

    def __init__(self, clock: Callable[[], float], longest_seconds: float = LONGEST_PAUSE_SECONDS) -> None:
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._pause_seconds = 0.0
        self._until = 0.0

    @property
    def waiting(self) -> bool:
        """Whether the last attempt failed."""
        return self._pause_seconds > 0

    def seconds_left(self) -> float:
        """Return how long to wait before the next attempt; 0 if it may be made now."""
        return max(self._until - self._clock(), 0.0) if self.waiting else 0.0

    def failed(self) -> float:
        """Note a failure and return the pause before the next attempt."""
        longer = 2 * self._pause_seconds or FIRST_PAUSE_SECONDS
        self._pause_seconds = min(longer, self._longest_seconds)
        self._until = self._clock() + self._pause_seconds
        return self._pause_seconds

    def succeeded(self) -> None:
        """Forget the failures."""
        self._pause_seconds = 0.0
