import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cartcast.local.stack import LocalStack, local_stack
from service.errors import LocalStackError

pytestmark = pytest.mark.integration

StartCommand = Callable[..., "subprocess.Popen[str]"]
ProcessesOf = Callable[[Path], dict[int, str]]


def silent(_: str) -> None: ...


def pid_of(processes: dict[int, str], word: str) -> int:
    """Process id of the server with `word` in its command; tethers, which repeat their command, excepted."""
    (pid,) = [pid for pid, command in processes.items() if word in command and "tether" not in command]
    return pid


def wait_until_ready(up: "subprocess.Popen[str]") -> None:
    assert up.stderr is not None
    assert any("ready" in line for line in up.stderr)


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    with local_stack(tmp_path, silent, preferred_ports=False) as running:
        yield running


def test_a_server_that_dies_is_named(own_stack: LocalStack, processes_of: ProcessesOf, tmp_path: Path) -> None:
    def check_for_ever() -> None:
        while True:
            own_stack.children.check()

    os.kill(pid_of(processes_of(tmp_path), "clickhouse_server"), signal.SIGKILL)
    with pytest.raises(LocalStackError, match="ClickHouse ended with status 137"):
        check_for_ever()


def test_up_ends_with_status_1_and_one_line_when_a_server_dies(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    up = start_command("up", "--dir", str(tmp_path))
    wait_until_ready(up)
    os.kill(pid_of(processes_of(tmp_path), "kafka.Kafka"), signal.SIGKILL)
    _, stderr = up.communicate()
    assert up.returncode == 1
    assert stderr.startswith("cartcast: Kafka ended with status 137")
    assert len(stderr.splitlines()) == 1
    assert processes_of(tmp_path) == {}


def test_servers_end_when_up_is_killed_with_9_and_the_directory_opens_again(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    up = start_command("up", "--dir", str(tmp_path))
    wait_until_ready(up)
    first_kafka = pid_of(processes_of(tmp_path), "kafka.Kafka")
    up.kill()
    with local_stack(tmp_path, silent, preferred_ports=False):
        assert pid_of(processes_of(tmp_path), "kafka.Kafka") != first_kafka
    assert processes_of(tmp_path) == {}


def test_a_start_up_that_fails_half_way_leaves_no_process(processes_of: ProcessesOf, tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=other\n")
    with pytest.raises(LocalStackError, match=r"Kafka ended with status 1: .*node id 7 doesn't match"):
        local_stack(tmp_path, silent, preferred_ports=False).__enter__()
    assert processes_of(tmp_path) == {}
