"""SIGINT, SIGTERM and SIGHUP as one exception, so that `with` blocks stop what they started, whenever it comes."""

import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_AGAIN_SECONDS: Final = 0.1
"""How long after a stop that came to nothing it is raised again."""


class StopRequested(BaseException):
    """Someone asked this process to end; not an Exception, so that no handler of failures swallows it."""


class _Received:
    """Signals belong to the process, hence one instance of this for all.

    A handler runs between any two byte codes, also inside a call-back that C code makes, and some C code clears
    whatever such a call-back raises: NumPy does, when it looks for attributes of an object that it does not know. An
    exception that was cleared is freed, one that is on its way, or whose clean-up runs, is not. Hence the weak
    reference, and a timer that looks at it until the block ends.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.holds = 0
        self._raised: weakref.ref[StopRequested] | None = None

    def reset(self) -> None:
        self.signum = None
        self.acknowledge()

    def handle(self, signum: int, _frame: FrameType | None) -> None:
        """Raise once; later signals find the clean-up already under way and must not break it off."""
        is_first = self.signum is None and signum in STOP_SIGNALS
        if is_first:
            self.signum = signum
        if (is_first or self._came_to_nothing()) and not self.holds:
            self.raise_stop()

    def raise_stop(self) -> None:
        stop = StopRequested()
        self._raised = weakref.ref(stop)
        signal.setitimer(signal.ITIMER_REAL, LOOK_AGAIN_SECONDS, LOOK_AGAIN_SECONDS)
        try:
            raise stop
        finally:
            del stop  # this frame is part of the traceback: its variable would keep the exception alive

    def acknowledge(self) -> None:
        self._raised = None

    def _came_to_nothing(self) -> bool:
        return self._raised is not None and self._raised() is None


_received = _Received()


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Inside, the first stop signal raises StopRequested in the main thread; the ones after it are ignored.

    It is raised again if code in between swallows it. Takes SIGALRM and the real-time interval timer for that.
    """
    _received.reset()
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    began = time.monotonic()
    previous = {number: signal.signal(number, _received.handle) for number in (*STOP_SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        _resume(timer, time.monotonic() - began)


def _resume(timer: tuple[float, float], seconds_passed: float) -> None:
    delay, interval = timer
    if delay:
        signal.setitimer(signal.ITIMER_REAL, max(delay - seconds_passed, LOOK_AGAIN_SECONDS), interval)


def acknowledge_stop() -> None:
    """For a block that catches StopRequested and goes on, within stop_signals_raise, to end in its own way."""
    _received.acknowledge()


@contextmanager
def stop_signals_held() -> Iterator[None]:
    """Inside, a stop signal waits: for the moment between starting a process and remembering it."""
    before = _received.signum
    _received.holds += 1
    try:
        yield
    finally:
        _received.holds -= 1
    if not _received.holds and _received.signum != before and _in_main_thread():
        _received.raise_stop()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
