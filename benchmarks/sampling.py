"""Watches a program at work: how many results are out, and what CPU and memory have gone into them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.processes import Usage
from benchmarks.results import Speed
from service.errors import LocalStackError

LOOK_SECONDS: Final = 0.1
STALLED_SECONDS: Final = 60.0


def wait_for(wanted: int, count: Callable[[], int], check: Callable[[], None]) -> None:
    """Return when `count` is at `wanted`; raises LocalStackError when it stands still, or what `check` raises."""
    moved, before = time.monotonic(), -1
    while (now := count()) < wanted:
        check()
        if now != before:
            moved, before = time.monotonic(), now
        elif time.monotonic() - moved > STALLED_SECONDS:
            raise LocalStackError(f"{now:,} of {wanted:,} are out, and no more for {STALLED_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look."""

    seconds: float
    """Since the program was started."""
    results: int
    program: Usage
    broker: Usage


@dataclass
class Watch:
    """Takes samples until all results are out; `check` raises when the program has ended."""

    results: Callable[[], int]
    program: Callable[[], Usage]
    broker: Callable[[], Usage]
    check: Callable[[], None]
    started: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)

    def until(self, results: int) -> None:
        """Take samples until so many results are out."""
        wait_for(results, lambda: self.look().results, self.check)

    def look(self) -> Sample:
        sample = Sample(time.monotonic() - self.started, self.results(), self.program(), self.broker())
        self.samples.append(sample)
        return sample


def speed_of(samples: Sequence[Sample], warm_up: int, total: int) -> Speed:
    """Return the speed between the sample that has `warm_up` results and the first that has all `total`."""
    first = next(sample for sample in samples if sample.results >= warm_up)
    last = next(sample for sample in samples if sample.results >= total)
    begun = next(sample for sample in samples if sample.results > 0)
    results = last.results - first.results
    if results <= 0:
        raise LocalStackError("all results were out between two looks: let it read more events")
    return Speed(
        events_per_second=results / (last.seconds - first.seconds),
        program_us=(last.program.cpu_seconds - first.program.cpu_seconds) / results * 1e6,
        broker_us=(last.broker.cpu_seconds - first.broker.cpu_seconds) / results * 1e6,
        memory_bytes=float(max(sample.program.memory_bytes for sample in samples)),
        start_seconds=begun.seconds,
    )
