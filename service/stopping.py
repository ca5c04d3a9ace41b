"""SIGTERM and SIGINT as an event, and an end of the process even if it waits where neither is heard."""

import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def end_process(line: str) -> None:
    """End this process at once with status 1 and one line; no lock that a hanging thread may hold is needed."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"cartcast: {line}\n".encode())
    os._exit(1)


def end_with_stacks(line: str) -> None:
    """Write the stack of every thread to stderr, which shows what hangs, then end this process with the line.

    Neither needs a lock that a hanging thread may hold: a file descriptor, unlike a file, is not flushed first.
    """
    faulthandler.dump_traceback(sys.__stderr__.fileno() if sys.__stderr__ else 2, all_threads=True)
    end_process(line)


@contextmanager
def stop_event(seconds: float, why: str, end: Callable[[str], None] = end_process) -> Iterator[Event]:
    """Yield an event that the signals set; if the block lasts `seconds` longer, end the process with the line `why`.

    Python calls handlers between byte codes, so a main thread inside a C call, such as a commit to a Kafka that hangs,
    hears nothing. The interpreter writes each signal's number to a socket all the same; a thread reads it.
    """
    stop, over = Event(), Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in SIGNALS}
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while numbers := reader.recv(16):
            if not set(SIGNALS).isdisjoint(numbers):
                if not over.wait(seconds):
                    end(why)
                return

    thread = Thread(target=watch, name="end in time", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        over.set()
        signal.set_wakeup_fd(-1)
        for number, handler in previous.items():
            signal.signal(number, handler)
        writer.close()
        thread.join()
        reader.close()
