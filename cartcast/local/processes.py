"""Child processes: started in order, watched, and all stopped in reverse order, whatever ends the block.

Each child runs under a tether (see tether.py) in a process group of its own, so that Ctrl-C in the terminal reaches
only this process, which then stops the children one by one, and so that they end even if this one is killed with -9.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from cartcast.local.signals import stop_signals_held
from service.errors import LocalStackError

PYTHON = (sys.executable, "-P")
"""Starts a module with `-m`: `-P`, because no file of the current folder may pass for one of ours or of Python's."""
TETHER = Path(__file__).with_name("tether.py")
GIVE_WAY = ("nice", "-n", "10")
GRACE_SECONDS = 15.0
POLL_SECONDS = 0.05
READY_TIMEOUT_SECONDS = 300.0
"""Reached only by a child that hangs: one that ends is seen at once, and a busy machine takes minutes to start one."""
COMMAND_PREFIX = "cartcast: "
EXCEPTION_LINE = re.compile(r"(Caused by: )?[\w.]+(Exception|Error): ")


class Child:
    """One running command with its log file."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @property
    def pid(self) -> int:
        """The tether's process id; the command is its child."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """What the command returned (128 + signal if it was killed), or None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """Return the line of the log's end that says most: an exception, else a complaint, else the last line."""
        lines = [_described(line) for line in _tail(self.log_path).splitlines() if line.strip()]
        exceptions = [line for line in lines if EXCEPTION_LINE.match(line)]
        complaints = [line for line in lines if "error" in line.lower() or line.startswith(COMMAND_PREFIX)]
        return (exceptions or complaints or lines or ["it wrote nothing"])[-1].removeprefix(COMMAND_PREFIX)[:300]

    def log_events(self, name: str) -> list[dict[str, Any]]:
        """Return the structured log lines whose `event` is `name`, oldest first."""
        lines = [line for line in self.log_path.read_bytes().splitlines() if name.encode() in line]
        return [event for event in map(_json_object, lines) if event.get("event") == name]

    def check(self) -> None:
        """Raise LocalStackError if the command has ended."""
        if self.exit_status is not None:
            raise LocalStackError(
                f"{self.name} ended with status {self.exit_status}: {self.last_words()} (see {self.log_path})"
            )

    def wait(self, timeout_seconds: float) -> int:
        """Wait for the command to end by itself; LocalStackError if it does not."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise LocalStackError(
                f"{self.name} still runs after {timeout_seconds:.0f} s: {self.last_words()} (see {self.log_path})"
            ) from None

    def request_stop(self) -> None:
        """Send SIGTERM, without waiting for what it does."""
        self._process.terminate()

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask the command to end, wait, and kill what is left of it after the grace period."""
        self.request_stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL the whole process group; returns when the tether is gone."""
        with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class Children:
    """The children of one block; leaving it stops them, the youngest first."""

    def __init__(self, log_directory: Path, keep_open: Sequence[int] = ()) -> None:
        """`keep_open` are file descriptors that every tether holds until its command has ended."""
        self._log_directory = log_directory
        self._keep_open = keep_open
        self._children: list[Child] = []
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._log_directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with stop_signals_held():
            self._exits.close()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        gives_way: bool = False,
    ) -> Child:
        """Start a command; `environment` is added to this process's own. Its output goes to `<name>.log`.

        One that `gives_way` gets a tenth of what others get of a core that all of them want.
        """
        log_path = self._log_directory / f"{name.replace(' ', '-').lower()}.log"
        with stop_signals_held(), log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", str(TETHER), *(GIVE_WAY if gives_way else ()), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # not a session: Linux' autogroups would make `nice` count within it alone
                pass_fds=self._keep_open,
                env={**os.environ, **(environment or {})},  # handed on, not read
            )
            child = Child(name, process, log_path)
            self._children.append(child)
            self._exits.callback(child.stop)
        return child

    def run(self, name: str, command: Sequence[str], timeout_seconds: float) -> None:
        """Run a command to its end; LocalStackError unless it returns 0 in time."""
        child = self.start(name, command)
        if child.wait(timeout_seconds) != 0:
            child.check()
        self._children.remove(child)

    def check(self) -> None:
        """Raise LocalStackError if one of them has ended."""
        for child in self._children:
            child.check()


def wait_until_ready(
    child: Child, is_ready: Callable[[], bool], timeout_seconds: float = READY_TIMEOUT_SECONDS
) -> None:
    """Poll `is_ready`; LocalStackError if the child ends first or takes longer."""
    deadline = time.monotonic() + timeout_seconds
    while not is_ready():
        child.check()
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"{child.name} is not ready after {timeout_seconds:.0f} s: {child.last_words()} (see {child.log_path})"
            )
        time.sleep(POLL_SECONDS)


def _described(line: str) -> str:
    """Return a structured log line's event, with its level where that is a complaint; another line as it is."""
    logged = _json_object(line.encode())
    if "event" not in logged:
        return line.strip()
    level = str(logged.get("level", ""))
    return f"{level}: {logged['event']}" if level in {"error", "critical"} else str(logged["event"])


def _json_object(line: bytes) -> dict[str, Any]:
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(line, type=dict[str, Any])
    return {}


def _tail(path: Path, tail_bytes: int = 8192) -> str:
    with path.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - tail_bytes))
        return log.read().decode(errors="replace")
