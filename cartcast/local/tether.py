"""Runs one command and ends it when the process that asked for it is gone, however that one died.

Started as a script (`python -I tether.py COMMAND...`) and on the standard library alone, so it costs milliseconds.
The starter keeps the write end of this process's stdin open and never writes: end of file means that the starter
has ended, even by `kill -9`. This is the portable form of Linux's parent-death signal.
"""

import os
import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE_SECONDS = 10.0


class Tether:
    """One command, SIGTERM passed on to it once, and its exit status."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """Return the command's exit status as a shell would (128 + signal)."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        if self._stopping:  # the signal came before there was a child to pass it to
            self._child.terminate()
        threading.Thread(target=self._end_with_starter, daemon=True).start()
        status = self._child.wait()
        return 128 - status if status < 0 else status

    def _on_sigterm(self, _signum: int, _frame: FrameType | None) -> None:
        first, self._stopping = not self._stopping, True
        if first and self._child is not None:
            self._child.terminate()

    def _end_with_starter(self) -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(GRACE_SECONDS)
        if self._child is not None:
            self._child.kill()


if __name__ == "__main__":
    sys.exit(Tether(sys.argv[1:]).run())
