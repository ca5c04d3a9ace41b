"""What a worker does when Kafka's consumer group refuses it: it tries again for a while, then ends and says why."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from service.errors import CartcastError, RefusedError
from service.liveness import Liveness

RETRY_SECONDS: Final = 3.0
"""How long a refused worker waits before it asks to join again."""
PATIENCE_SECONDS: Final = 45.0
"""How long it asks: what refuses it may be gone by then, and who watches it knows within a minute."""
_FORGOTTEN_SECONDS: Final = 5 * RETRY_SECONDS
"""A refusal so long after the one before is a new one."""

FENCED: Final = "FencedInstanceIdError"
FULL: Final = "GroupMaxSizeReachedError"

_ADVICE: Final = {
    "InconsistentGroupProtocolError": "another program has joined consumer group {group}, which is the workers' alone: "
    "stop it or give it a group of its own (`cartcast doctor` names the group's members)",
    "GroupAuthorizationFailedError": "allow this user `Read` on group {group} (docs/security-settings.md)",
    "TopicAuthorizationFailedError": "allow this user `Read` on the topics of this application "
    "(docs/security-settings.md)",
    FULL: "group {group} has as many members as the broker's `group.max.size` allows: raise it or run fewer workers",
    "InvalidSessionTimeoutError": "the broker's `group.min.session.timeout.ms` and `group.max.session.timeout.ms` do "
    "not allow worker.session_timeout_seconds: change one of them",
    "InvalidGroupIdError": "Kafka takes no group of the name {group}: set another kafka.topic_prefix",
}
"""By the name of aiokafka's error."""

_log: Final = structlog.get_logger()


@dataclass
class Membership:
    """Judges the errors with which the group refuses this worker; for the thread of the Kafka client alone.

    `end` is called with what the worker ends with; it may be called more than once.
    """

    group: str
    instance_id: str | None
    liveness: Liveness
    end: Callable[[CartcastError], None]
    patience_seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _last: float | None = None

    def refused(self, error: Exception) -> None:
        """Note that joining, or a heartbeat, was refused; ends the worker if that cannot or does not change."""
        now, text = self.clock(), f"{error!r} {error}"
        if FENCED in text:
            self.end(RefusedError(self._fenced()))
            return
        reason = next((name for name in _ADVICE if name in text), str(error))
        advice = _ADVICE.get(reason, "`cartcast doctor` asks Kafka the same").format(group=self.group)
        if self._last is None or now - self._last > _FORGOTTEN_SECONDS:
            self._since = now
            _log.warning("refused by the consumer group, will ask again", group=self.group, why=reason, advice=advice)
        self._last = now
        self.liveness.refused(reason)
        if now - self._since >= self.patience_seconds:
            self.end(RefusedError(self._line(f"for {self.patience_seconds:g} seconds", reason, advice)))

    def broke(self, error: Exception) -> None:
        """Note that the client's own book-keeping of the group ended, after which it never joins again."""
        self.end(RefusedError(self._line("for ever", str(error), "start it again; no event is lost")))

    def _line(self, how_long: str, reason: str, advice: str) -> str:
        return f"Kafka's consumer group {self.group} refused this worker {how_long} ({reason}): {advice}"

    def _fenced(self) -> str:
        return (
            f"worker.instance_id {self.instance_id} is used by another worker, which has taken this one's place in "
            f"consumer group {self.group}: give each worker an instance_id of its own; no event is lost"
        )
