import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

StartCommand = Callable[..., "subprocess.Popen[str]"]
ProcessesOf = Callable[[Path], dict[int, str]]


def read_until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """Read stderr lines up to the one with `words`."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"ended without {words!r}: {lines}")


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_cleanly(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path, stop_signal: signal.Signals
) -> None:
    up = start_command("up", "--dir", str(tmp_path), "--json")
    read_until(up, "ready")
    assert len(processes_of(tmp_path)) >= 5  # up, two tethers, Kafka, ClickHouse
    up.send_signal(stop_signal)
    stdout, stderr = up.communicate()
    assert up.returncode == 0, stderr
    assert processes_of(tmp_path) == {}
    assert set(json.loads(stdout.splitlines()[-1])) == {"bootstrap_servers", "clickhouse_url", "environment"}


@pytest.mark.parametrize("words", ["starting Apache Kafka", "starting the ClickHouse engine"])
def test_a_stop_signal_during_start_up_leaves_no_process(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path, words: str
) -> None:
    up = start_command("up", "--dir", str(tmp_path))
    read_until(up, words)
    up.terminate()
    _, stderr = up.communicate()
    assert up.returncode == 0, stderr
    assert processes_of(tmp_path) == {}
    assert "Traceback" not in stderr


def test_two_stacks_run_side_by_side_on_their_own_ports(start_command: StartCommand, tmp_path: Path) -> None:
    addresses = []
    ups = [start_command("up", "--dir", str(tmp_path / name), "--json") for name in ("one", "two")]
    for up in ups:
        read_until(up, "ready")
    for up in ups:
        up.terminate()
        settings = json.loads(up.communicate()[0].splitlines()[-1])
        addresses += [settings["bootstrap_servers"], settings["clickhouse_url"]]
    assert len(set(addresses)) == 4
    assert all("127.0.0.1" in address for address in addresses)


def test_settings_can_be_evaluated_by_a_shell(start_command: StartCommand, tmp_path: Path) -> None:
    up = start_command("up", "--dir", str(tmp_path))
    read_until(up, "ready")
    up.terminate()
    stdout, _ = up.communicate()
    script = f"{stdout}\necho $CARTCAST_KAFKA__BOOTSTRAP_SERVERS $CARTCAST_CLICKHOUSE__URL"
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout.startswith("127.0.0.1:")
    assert "http://127.0.0.1:" in shell.stdout
