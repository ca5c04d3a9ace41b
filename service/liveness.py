"""Whether a loop makes progress: what its own thread notes, and what other threads read from it."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Partition:
    """How far one partition is, and since when its commit has not moved while records wait."""

    taken: int = 0
    committed: int = 0
    since: float = 0.0

    @property
    def waits(self) -> bool:
        return self.taken > self.committed


class Liveness:
    """Turns of a loop, offsets that were taken and committed; one thread notes, any thread reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.commits = 0
        self.assigned = False
        """Whether the consumer group has given this process its partitions, possibly none."""
        self.refusal = ""
        """Why the consumer group refused this process since it last had partitions."""
        self._clock = clock
        self._turned_at: float | None = None
        self._progressed_at = 0.0
        self._unassigned_since = self._refused_at = clock()
        self._partitions: dict[Hashable, _Partition] = {}

    def turned(self) -> None:
        """Note a turn of the loop."""
        self._turned_at = self._clock()

    def progressed(self) -> None:
        """Note progress that moves no offset: restored states, an insert, or waiting for Kafka alone."""
        self._progressed_at = self._clock()

    def taken(self, partition: Hashable, next_offset: int) -> None:
        """Note that the records before this offset were fetched and wait for their commit."""
        known = self._partitions.setdefault(partition, _Partition())
        if not known.waits:
            known.since = self._clock()
        known.taken = next_offset

    def committed(self, offsets: Mapping[Any, int], *, counts: bool = True) -> None:
        """Note up to where offsets are committed; `counts` is whether Kafka was asked."""
        self.commits += counts
        now = self._clock()
        for partition, offset in offsets.items():
            known = self._partitions.setdefault(partition, _Partition())
            if offset > known.committed:
                known.committed, known.since = offset, now

    def rebalanced(self, *, assigned: bool) -> None:
        """Forget all offsets: what was fetched before a rebalance is fetched again by whoever owns it now."""
        if self.assigned and not assigned:
            self._unassigned_since = self._clock()
        self.assigned = assigned
        self.refusal = ""
        self._partitions = {}

    def refused(self, why: str) -> None:
        """Note that the consumer group does not take this process."""
        self.refusal, self._refused_at = why, self._clock()

    @property
    def commit_age_seconds(self) -> float:
        """Seconds for which some partition's records have waited for a commit; 0 if none waits."""
        return self._age(0.0)

    @property
    def stalled_seconds(self) -> float:
        """The same, but at most the seconds since the last progress of any kind."""
        return self._age(self._progressed_at)

    @property
    def unassigned_seconds(self) -> float:
        """Seconds without an assignment, but at most those since the last progress of any kind; 0 with one."""
        return 0.0 if self.assigned else max(self._clock() - max(self._unassigned_since, self._progressed_at), 0.0)

    @property
    def unanswered_seconds(self) -> float:
        """The same, but at most the seconds since the group last refused this process."""
        return min(self.unassigned_seconds, max(self._clock() - self._refused_at, 0.0))

    @property
    def silent_seconds(self) -> float:
        """Seconds since the loop last turned; 0 before its first turn."""
        since = self._turned_at
        return 0.0 if since is None else max(self._clock() - since, 0.0)

    def _age(self, not_before: float) -> float:
        waiting = [each.since for each in list(self._partitions.values()) if each.waits]
        return max(self._clock() - max(min(waiting), not_before), 0.0) if waiting else 0.0
