"""What `/livez` and `/readyz` say: judged in memory, at once."""

from collections.abc import Callable
from dataclasses import dataclass

from service.health import OK, Verdict
from service.liveness import Pulse


@dataclass(frozen=True, slots=True)
class Health:
    """Judges a worker by its pulse and by what its parts say."""

    pulse: Pulse
    restored: Callable[[], bool]
    """Whether the states of every partition that this worker owns are in memory."""
    kafka_answers: Callable[[], bool]
    stopping: Callable[[], bool]
    stalled_seconds: float
    """How long commits may not advance while records wait; 0: for ever."""

    def live(self) -> Verdict:
        """Tell whether a new process would do no better: the loop turns, and commits advance or wait for Kafka."""
        silent, stalled = self.pulse.silent_seconds, self.pulse.stalled_seconds
        return Verdict(
            {
                "loop": f"has not turned for {silent:.0f} seconds" if self._too_long(silent) else OK,
                "commits": f"none for {stalled:.0f} seconds while records wait" if self._too_long(stalled) else OK,
            }
        )

    def ready(self) -> Verdict:
        """Tell whether this worker scores: also one without partitions, a standby, once it is in the group.

        (The model is warm before there is a page that could say so.)
        """
        return Verdict(
            {
                "model": OK,
                "group": OK if self.pulse.assigned else "no assignment yet",
                "states": OK if self.restored() else "being restored from the changelog",
                "kafka": OK if self.kafka_answers() else "does not answer",
                "running": "stopping" if self.stopping() else OK,
            }
        )

    def _too_long(self, seconds: float) -> bool:
        return 0 < self.stalled_seconds < seconds
