"""No file of the folder in which a command runs passes for a module, in the command or in what it starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dashboard.databases import answers
from tests.harness.ports import new_port
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration

OURS = ("cartcast", "dashboard", "model", "service", "sinks", "streams")
OTHERS = ("asyncio", "json", "logging", "random", "socket", "typing", "confluent_kafka", "numpy", "pydantic", "typer")
CONSOLE_SCRIPT = (str(Path(sys.executable).with_name("cartcast")),)
MODULE = (sys.executable, "-m", "cartcast")
AWAY = {
    "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:{closed}",
    "CARTCAST_CLICKHOUSE__URL": "http://127.0.0.1:{closed}",
}
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """Where each file of the folder `here` writes its name when it is imported, before it raises."""
    here, imported = tmp_path / "here", tmp_path / "imported"
    here.mkdir()
    imported.touch()
    for name in (*OURS, *OTHERS):
        line = f"open({str(imported)!r}, 'a').write('{name} ')\nraise ImportError('{name} of the current folder')\n"
        (here / f"{name}.py").write_text(line)
    return imported


@pytest.fixture
def start(imported: Path) -> Iterator[Start]:
    """Start a command in that folder, without anything that would keep the folder out by itself."""
    started: list[subprocess.Popen[str]] = []
    closed = new_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    away = {name: value.format(closed=closed) for name, value in AWAY.items()}

    def start(launcher: tuple[str, ...], *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*launcher, *arguments],
            cwd=imported.with_name("here"),
            env={**kept, **away},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["up", "--dir", "stack"], "ready", 0),
        (["demo", "--dir", "stack"], " scores ", 0),
        (["demo", "--events", "300", "--users", "20", "--no-dashboard"], None, 0),
        (["worker", "--device", "cpu"], None, 1),
        (["doctor"], None, 1),
        (["simulate", "--events", "10"], None, 0),
        (["--help"], None, 0),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_a_command_runs_in_a_folder_whose_files_are_named_like_modules(
    start: Start, imported: Path, arguments: list[str], said: str | None, status: int
) -> None:
    running = start(CONSOLE_SCRIPT, *arguments)
    if said is not None:
        assert running.stderr is not None
        assert any(said in line for line in running.stderr)
        running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate()
    assert (running.returncode, imported.read_text()) == (status, ""), stderr


def test_the_dashboard_serves_in_such_a_folder(start: Start, imported: Path) -> None:
    port = new_port()
    running = start(CONSOLE_SCRIPT, "dashboard", "--port", str(port))
    eventually(lambda: running.poll() is not None or answers(f"http://127.0.0.1:{port}/_stcore/health"), "the pages")
    running.terminate()
    _, stderr = running.communicate()
    assert (running.returncode, imported.read_text()) == (0, ""), stderr


def test_the_package_as_a_program_leaves_the_current_folder_out_too(start: Start, imported: Path) -> None:
    """But for what Python itself loads before: `python -P -m cartcast` leaves out that as well."""
    (imported.with_name("here") / "cartcast.py").unlink()
    running = start(MODULE, "simulate", "--events", "10")
    _, stderr = running.communicate()
    assert (running.returncode, imported.read_text()) == (0, ""), stderr
