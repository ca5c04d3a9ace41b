"""Whether a part of the sink still gets on: what its own thread notes, and what others read from it."""

from collections.abc import Callable


class Pulse:
    """Times of the last turn of the loop, the last commit and the last insert; one thread notes, any thread reads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turned_at: float | None = None
        self._waiting_since: float | None = None
        self._got_on_at = 0.0

    def turned(self, *, records_wait: bool | None = None) -> None:
        """Note a turn of the loop, and whether records wait for a commit; None: as before."""
        now = self._turned_at = self._clock()
        if records_wait is False:
            self._waiting_since = None
        elif records_wait and self._waiting_since is None:
            self._waiting_since = now

    def committed(self) -> None:
        """Note a commit that Kafka took."""
        self._got_on_at = self._clock()
        if self._waiting_since is not None:
            self._waiting_since = self._got_on_at

    def answered(self) -> None:
        """Note that the table took or refused rows: halves of a refused block are many inserts without a commit."""
        self._turned_at = self._got_on_at = self._clock()

    @property
    def commit_age_seconds(self) -> float:
        """Seconds since the last commit, or since records began to wait if that is later; 0 while none waits."""
        since = self._waiting_since
        return 0.0 if since is None else max(self._clock() - since, 0.0)

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the last commit or answer of the table while records wait; 0 while none waits."""
        since = self._waiting_since
        return 0.0 if since is None else max(self._clock() - max(since, self._got_on_at), 0.0)

    @property
    def silent_seconds(self) -> float:
        """Seconds since the loop last turned; 0 before its first turn."""
        since = self._turned_at
        return 0.0 if since is None else max(self._clock() - since, 0.0)
