"""Events of a history in the order of their times, however many there are: an external merge sort.

Runs of as many events as fit are sorted and written to temporary files, which are then merged. Events of one time stay
in the order in which they came.
"""

import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from model.events import Event

_TIME_DIGITS: Final = 13
"""Of epoch milliseconds within the years that files may hold, so that texts are in the order of numbers."""
_BYTES_BESIDE_A_LINE: Final = 90
"""Memory that an entry of a run takes beside its line's own bytes."""
_MOST_RUNS: Final = 64
"""So many files are merged at once."""


def sorted_lines(
    events: Iterable[Event],
    memory_bytes: int,
    work_dir: Path | None = None,
    on_merge: Callable[[], None] = lambda: None,
) -> Iterator[bytes]:
    """Yield canonical events as JSON lines, by time; `on_merge` is called when all events have been read.

    Temporary files of about the size of the result are made in `work_dir`, or where the system makes them.
    """
    with ExitStack() as files:
        runs: list[BinaryIO] = []
        for run in _runs(events, memory_bytes):
            runs.append(_written(iter(sorted(run, key=_time)), files, work_dir))
            if len(runs) == _MOST_RUNS:
                runs = [_written(heapq.merge(*runs, key=_time), files, work_dir)]
        on_merge()
        for line in heapq.merge(*runs, key=_time):
            yield line[_TIME_DIGITS:]


def _runs(events: Iterable[Event], memory_bytes: int) -> Iterator[list[bytes]]:
    """Yield lines that begin with their event's time, as many at once as fit."""
    encode = msgspec.json.Encoder().encode
    run, used = list[bytes](), 0
    for event in events:
        line = b"%0*d%b\n" % (_TIME_DIGITS, event.ts, encode(event))
        run.append(line)
        used += len(line) + _BYTES_BESIDE_A_LINE
        if used > memory_bytes:
            yield run
            run, used = [], 0
    if run:
        yield run


def _time(line: bytes) -> bytes:
    return line[:_TIME_DIGITS]


def _written(lines: Iterator[bytes], files: ExitStack, work_dir: Path | None) -> BinaryIO:
    file = tempfile.TemporaryFile(dir=work_dir)  # noqa: SIM115 - the stack closes it
    files.enter_context(file)
    file.writelines(lines)
    file.seek(0)
    return file
