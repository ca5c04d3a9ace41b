"""CPU and memory of processes and their children, from /proc."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PROC: Final = Path("/proc")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
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


def usage_below(*roots: int) -> Usage:
    """Return what the descendants of processes use."""
    found = every_process()
    stats = [found[pid] for pid in below(roots, found)]
    return Usage(sum(stat.cpu_seconds for stat in stats), sum(stat.resident_bytes for stat in stats))


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
