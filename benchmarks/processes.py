"""CPU and memory of processes and their children, from /proc."""

import math
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

PROC: Final = Path("/proc")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
MEMBERS_SECONDS: Final = 1.0
STARTING_SECONDS: Final = 3.0
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """What `/proc/PID/stat` says of one process."""

    parent: int
    cpu_seconds: float
    """Its own and that of children that have ended."""
    resident_bytes: int

    @classmethod
    def of(cls, line: str) -> Self:
        """Read the line; the name in it may hold spaces and parentheses."""
        fields = line.rsplit(")", 1)[1].split()  # fields[0] is the state, the third of proc(5)
        ticks = sum(int(field) for field in fields[11:15])
        return cls(int(fields[1]), ticks / TICKS_A_SECOND, int(fields[21]) * PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time so far, and memory now, of several processes."""

    cpu_seconds: float
    memory_bytes: int


def every_process() -> dict[int, Stat]:
    """Return every process of this machine that still runs."""
    return dict(_running(int(each.name) for each in PROC.iterdir() if each.name.isdigit()))


def _running(pids: Iterable[int]) -> Iterator[tuple[int, Stat]]:
    for pid in pids:
        try:
            yield pid, Stat.of((PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue


def below(roots: Iterable[int], found: dict[int, Stat]) -> set[int]:
    """Return the descendants of processes, themselves left out: a tether is not what is measured."""
    children = defaultdict(list)
    for pid, stat in found.items():
        children[stat.parent].append(pid)
    waiting, reached = list(roots), set[int]()
    while waiting:
        more = children[waiting.pop()]
        reached.update(more)
        waiting += more
    return reached


@dataclass
class Family:
    """The descendants of processes; who they are is asked once a second, as that takes milliseconds.

    While a program starts it is asked each time.
    """

    roots: Sequence[int]
    _made: float = field(default_factory=time.monotonic)
    _members: set[int] = field(default_factory=set)
    _asked: float = -math.inf

    def usage(self) -> Usage:
        """Return what they use; what a child that has ended used counts with its parent."""
        now = time.monotonic()
        if now - self._made < STARTING_SECONDS or now - self._asked > MEMBERS_SECONDS:
            self._members, self._asked = below(self.roots, every_process()), now
        stats = dict(_running(self._members)).values()
        return Usage(sum(stat.cpu_seconds for stat in stats), sum(stat.resident_bytes for stat in stats))


def usage_below(*roots: int) -> Usage:
    """Return what the descendants of processes use now."""
    return Family(roots).usage()


def started_here(word: str) -> int:
    """Return the process id of our descendant whose command line has `word` in it; its tether comes first."""
    found = every_process()
    for pid in sorted(below([os.getpid()], found)):
        if word in (PROC / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace"):
            return pid
    raise LookupError(f"no process of this run has {word} in its command line")


def available_memory() -> tuple[int, int]:
    """Return the bytes that could be used without swapping, and all there are."""
    fields = dict(line.split(":") for line in (PROC / "meminfo").read_text(encoding="utf-8").splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024, int(fields["MemTotal"].split()[0]) * 1024


def cpu_name() -> str:
    """Return what the processor calls itself."""
    lines = (PROC / "cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
