"""What `/livez` and `/readyz` say: judged in memory, at once, from what the parts of the sink and its probes know."""

from collections.abc import Mapping
from typing import Protocol

from service.health import OK, Verdict
from sinks.pulse import Pulse


class Part(Protocol):
    """A part of the sink that stores a topic, `scores` or `dead letters`."""

    pulse: Pulse
    in_group: bool


class Answers(Protocol):
    """Knows whether something outside answers."""

    def answer(self) -> str: ...


class Health:
    """Judges the parts, by name, and what is outside, by name."""

    def __init__(self, parts: Mapping[str, Part], outside: Mapping[str, Answers], *, stalled_seconds: float) -> None:
        self._parts = parts
        self._outside = outside
        self._stalled_seconds = stalled_seconds

    def live(self) -> Verdict:
        """Whether a new process would do no better: loops turn and commits advance, or wait for what is outside."""
        return Verdict({name: self._life(part) for name, part in self._parts.items()})

    def ready(self) -> Verdict:
        """Whether this process can store what comes: parts in their groups (also standbys), Kafka and tables there."""
        joined = {name: OK if part.in_group else "not in its consumer group" for name, part in self._parts.items()}
        return Verdict(joined | {name: each.answer() for name, each in self._outside.items()})

    def _life(self, part: Part) -> str:
        silent, stalled = part.pulse.silent_seconds, part.pulse.stalled_seconds
        if max(silent, stalled) <= self._stalled_seconds or any(each.answer() != OK for each in self._outside.values()):
            return OK  # also for a silent loop: nothing bounds how long a commit waits for a Kafka that hangs
        if silent > self._stalled_seconds:
            return f"its loop has not turned for {silent:.0f} seconds"
        return f"nothing was committed for {stalled:.0f} seconds while records wait, Kafka and ClickHouse answer"
