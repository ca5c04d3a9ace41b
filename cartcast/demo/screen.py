"""Where the demo's progress goes: a live view on a terminal, plain lines elsewhere. Always stderr."""

import math
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from cartcast.demo.view import Snapshot, draw

LINE_SECONDS = 2.0
REDRAW_SECONDS = 0.2


class Screen(Protocol):
    """Shows snapshots; used as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def show(self, now: Snapshot) -> None:
        """Show the snapshot, or leave it out if the last one is fresh enough."""

    def finish(self, now: Snapshot) -> None:
        """Show the last snapshot."""


class LiveScreen:
    """Redraws the picture in place."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = Live(console=console or Console(stderr=True), auto_refresh=False, vertical_overflow="crop")
        self._clock = clock
        self._shown_seconds = -REDRAW_SECONDS

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, failure, traceback)

    def show(self, now: Snapshot) -> None:
        if self._clock() - self._shown_seconds >= REDRAW_SECONDS:
            self.finish(now)

    def finish(self, now: Snapshot) -> None:
        self._shown_seconds = self._clock()
        self._live.update(draw(now), refresh=True)


class PlainScreen:
    """Writes a line now and then."""

    def __init__(
        self,
        write: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._clock = clock
        self._shown_seconds = 0.0

    def __enter__(self) -> Self:
        self._shown_seconds = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to restore."""

    def show(self, now: Snapshot) -> None:
        if self._clock() - self._shown_seconds >= LINE_SECONDS:
            self.finish(now)

    def finish(self, now: Snapshot) -> None:
        self._shown_seconds = self._clock()
        self._write(
            f"{now.elapsed_seconds:6.1f} s  {now.events:>9,} events  {now.scores:>9,} scores  {now.rows:>9,} rows  "
            f"{now.dead_letters:,} dead letters  {_likeliest(now)}{now.note}".rstrip()
        )


def _likeliest(now: Snapshot) -> str:
    """Return who is likeliest to buy, and what; empty if nobody is known."""
    if not now.buyers or math.isnan(now.buyers[0].propensity_24h):
        return ""
    buyer = now.buyers[0]
    return f"{buyer.user_id} {buyer.propensity_24h:.0%}{buyer.next_item and f', next {buyer.next_item}'}  "
