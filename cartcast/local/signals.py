"""SIGINT, SIGTERM and SIGHUP as one exception, so that `with` blocks stop what they started, whenever it comes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Someone asked this process to end; not an Exception, so that no handler of failures swallows it."""


class _Received:
    """Signals belong to the process, hence one instance of this for all."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.holds = 0

    def handle(self, signum: int, _frame: FrameType | None) -> None:
        """Raise once; later signals find the clean-up already under way and must not break it off."""
        if self.signum is None:
            self.signum = signum
            if not self.holds:
                raise StopRequested


_received = _Received()


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Inside, the first stop signal raises StopRequested in the main thread; the ones after it are ignored."""
    _received.signum = None
    previous = {number: signal.signal(number, _received.handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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
        raise StopRequested


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
