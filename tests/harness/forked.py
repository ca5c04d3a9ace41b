"""Processes of `cartcast`, forked from one that has imported what they need: PyTorch alone takes seconds to import.

A forked process has its own environment, stdout and stderr, and ends by signals and statuses as a started one does.
What is not tested so is what happens before the first line of the command: tests of the demo, of `cartcast up` and of
documents start the command itself.
"""

import asyncio
import atexit
import faulthandler
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.harness.preloaded"])


class ForkedProcess:
    """One running process; the methods are those of subprocess.Popen."""

    def __init__(self, script: str, environment: Mapping[str, str], *, stdout: Connection | None, stderr: Connection):
        """`script` is what `python -c` would run; outputs are closed here, `stdout` None is the test's own."""
        arguments = (script, {**os.environ, **environment}, stdout, stderr)
        self._process = _context.Process(target=_run, args=arguments, daemon=True)
        # A started process runs the main module's file again, and Streamlit's tests leave a page in that place.
        with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            self._process.start()
        for output in (stdout, stderr):
            if output is not None:
                output.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def command_script(arguments: Sequence[str]) -> str:
    """Return the script that runs `cartcast` with these arguments."""
    return f"import sys; sys.argv = {['cartcast', *arguments]!r}; from cartcast.__main__ import main; main()"


def appending(path: Path) -> Connection:
    """Return an output that goes to a file."""
    return Connection(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), readable=False)


def piped() -> tuple[int, Connection]:
    """Return the reading end of a pipe, and an output that goes to it."""
    reading, writing = os.pipe()
    return reading, Connection(writing, readable=False)


def _run(script: str, environment: Mapping[str, str], stdout: Connection | None, stderr: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for output, number in ((stdout, 1), (stderr, 2)):
        if output is not None:
            os.dup2(output.fileno(), number)
            output.close()
    signal.signal(signal.SIGQUIT, _print_stacks)
    try:
        exec(compile(script, "<forked>", "exec"), {"__name__": "__main__"})  # noqa: S102 - a test's own
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
        sys.stdout.flush()


def _print_stacks(*_: object) -> None:
    """Print where every task and every thread of this process is: what a process that gets stuck is asked for."""
    for task in asyncio.all_tasks(asyncio.get_event_loop()):
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()
    faulthandler.dump_traceback(sys.stderr)
