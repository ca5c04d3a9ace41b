"""What is done about a partition's states once a commit, between two of its fetches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streams.forgetting import expire_forgotten
from streams.growth import is_moving, let_go
from streams.identity import Identity
from streams.observe.counts import WorkerCounts
from streams.partition_states import PartitionStates

_SLOTS_AT_ONCE: Final = 50_000

NextRecord = Callable[[int, int, int], int]
"""Returns the offset of the first record of a partition of the events topic from an offset to before another, and the
latter if there is none; the former if Kafka does not say."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Forgets what has been kept for long enough, and goes on with what waits for events that never come."""

    clock_ms: Callable[[], int]
    counts: WorkerCounts
    state_ms: int | None = None
    """How long a state is kept after its user's last event; None for ever."""
    forgotten_ms: int | None = None
    """How long events of the forgotten may come; None for ever."""
    identity: Identity | None = None
    next_record: NextRecord = lambda _, start, __: start

    def __call__(self, states: PartitionStates) -> None:
        """Look at a bounded part of the states, in turn."""
        now_ms = self.clock_ms()
        if self.state_ms is not None:
            self.counts.expired_states += states.expire(now_ms - self.state_ms, _SLOTS_AT_ONCE)
            if self.identity is not None:
                self.identity.expire(states, now_ms - self.state_ms)
        if self.forgotten_ms is not None:
            expire_forgotten(states, now_ms - self.forgotten_ms)
        self._look_ahead(states)
        if self.identity is not None:
            self.identity.release_due(states)
        let_go(states, now_ms)

    def _look_ahead(self, states: PartitionStates) -> None:
        """Pass offsets that hold no records, but for example the markers that end transactions: nobody hands them out.

        Asks Kafka only if something waits for them, and nothing was dealt with since the last sweep.
        """
        end = max(states.due[-1][0] if states.due else 0, states.events_end if is_moving(states) else 0)
        start, states.swept = states.swept, states.dealt_with
        if start == states.dealt_with < end:
            states.passed = self.next_record(states.partition, start, end)
