"""What every kind of test shares: a real Kafka and a real ClickHouse engine a process, started when first used."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cartcast.local.stack import PASSWORD_FILE, LocalStack, local_stack
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from tests.harness.clock import Clock
from tests.harness.databases import Databases

PROCESSES = 3
"""For two cores: a test that waits for a server, or for a process to end, leaves its core to others."""
LONGEST_FIRST = (
    *("soak/test_short_soak.py", "integration/test_demo.py", "faults/test_worker_faults.py"),
    "integration/test_views_outcomes.py",
    *("faults/test_sink_kills.py", "dashboard/test_browser.py", "integration/test_kafka_security.py"),
    *("faults/", "integration/", "docs/", "deploy/", "dashboard/", "cartcast/", "contract/"),
)
"""Files that take more than a minute, then folders; whole files go to a process, and short ones last let all end
together."""

settings.register_profile("without deadline", deadline=None)  # a slow machine is no failure
settings.load_profile("without deadline")

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores: threads that wait for each other spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Several processes for whole folders; none for single files, whose tests would take less than a start."""
    return 0 if any(".py" in argument for argument in config.args) else PROCESSES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort files and folders, the longest first; within them the order stays."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(tests).as_posix()
        found = (number for number, beginning in enumerate(LONGEST_FIRST) if path.startswith(beginning))
        return next(found, len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture
def clock() -> Clock:
    """A clock that the test turns."""
    return Clock()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The local stack on free ports; a machine that cannot start it fails the tests, it does not skip them."""
    terminal = request.config.pluginmanager.getplugin("terminalreporter")

    def report(line: str) -> None:
        terminal.ensure_newline()
        terminal.write_line(f"[stack] {line}")

    directory = tmp_path_factory.mktemp("stack")
    (directory / PASSWORD_FILE).touch()  # none: tests name ClickHouse by its URL alone
    with local_stack(directory, report, preferred_ports=False) as running:
        yield running


@pytest.fixture(scope="session")
def kafka(stack: LocalStack) -> str:
    """Bootstrap servers of the session's Kafka."""
    return stack.bootstrap_servers


@pytest.fixture(scope="session")
def clickhouse(stack: LocalStack) -> str:
    """URL of the session's ClickHouse engine."""
    return stack.clickhouse_url


@pytest.fixture(scope="session")
def databases(clickhouse: str) -> Databases:
    """Migrated databases of the session's engine."""
    return Databases(clickhouse)


@pytest.fixture
def database(databases: Databases) -> Iterator[ClickHouseSettings]:
    """An empty database with all tables and views."""
    with databases.lend() as settings:
        yield settings


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix that no other test uses, for topics, consumer groups and databases.

    The database of this name is dropped in the end.
    """
    engine = request.getfixturevalue("clickhouse") if "clickhouse" in request.fixturenames else None
    prefix = f"t{secrets.token_hex(4)}"
    yield prefix
    if engine is not None:
        client = connect(ClickHouseSettings(url=engine))
        client.command(f"DROP DATABASE IF EXISTS {prefix}")
        client.close_connections()


StartCommand = Callable[..., "subprocess.Popen[str]"]
ProcessesOf = Callable[[Path], dict[int, str]]


@pytest.fixture
def start_command() -> Iterator[StartCommand]:
    """Start `cartcast ...` with pipes for stdout and stderr; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "cartcast", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def processes_of() -> ProcessesOf:
    """Return the processes whose command line mentions a directory: every server of a stack names its own."""

    def find(directory: Path) -> dict[int, str]:
        listing = [shutil.which("ps") or "ps", "-axww", "-o", "pid=,command="]
        listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
        lines = [line.split(maxsplit=1) for line in listed.splitlines() if str(directory) in line]
        return {int(pid): command for pid, command in lines}

    return find
