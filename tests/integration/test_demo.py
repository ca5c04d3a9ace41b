import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.integration

StartCommand = Callable[..., "subprocess.Popen[str]"]
ProcessesOf = Callable[[Path], dict[int, str]]


def wait_for_line(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if words in line:
            return line
        said.append(line)
    pytest.fail(f"ended with status {process.wait()} before {words!r}:\n{''.join(said)}")


def test_the_demo_ends_with_everything_scored_and_stored_once(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    picture = tmp_path / "demo.svg"
    demo = start_command(
        *("demo", "--events", "5000", "--users", "200", "--no-dashboard", "--json"),
        *("--dir", str(tmp_path / "stack"), "--picture", str(picture)),
    )
    stdout, stderr = demo.communicate()
    assert demo.returncode == 0, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["events"] == 5000
    assert summary["duplicates"] > 0  # the simulator repeats some events on purpose
    assert summary["accepted"] == summary["events"] - summary["duplicates"]
    assert summary["scored"] == summary["stored"] == summary["accepted"]
    assert (summary["dead_letters"], summary["lost"], summary["duplicated"]) == (0, 0, 0)
    assert summary["events_per_second"] > 0
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert "5,000" in picture.read_text()
    assert processes_of(tmp_path) == {}


def test_two_workers_share_the_partitions(start_command: StartCommand) -> None:
    demo = start_command("demo", "--events", "3000", "--workers", "2", "--no-dashboard", "--json")
    stdout, stderr = demo.communicate()
    assert demo.returncode == 0, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert (summary["lost"], summary["duplicated"], summary["workers"]) == (0, 0, 2)


def test_an_endless_demo_ends_well_when_it_is_stopped(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    demo = start_command("demo", "--no-dashboard", "--json", "--dir", str(tmp_path))
    wait_for_line(demo, "scores")
    demo.terminate()
    stdout, stderr = demo.communicate()
    assert demo.returncode == 0, stderr
    assert "Traceback" not in stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["complete"] is False
    assert summary["events"] > 0
    assert processes_of(tmp_path) == {}


def test_the_demo_opens_with_the_dashboards_address(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    demo = start_command("demo", "--users", "300", "--history", "1", "--dir", str(tmp_path))
    address = wait_for_line(demo, "open the dashboard").split()[-1]
    with urlopen(address) as page:  # noqa: S310 - our own loopback address
        assert page.status == 200
    wait_for_line(demo, "scores")
    demo.terminate()
    _, stderr = demo.communicate()
    assert demo.returncode == 0, stderr
    assert processes_of(tmp_path) == {}


def test_a_demo_that_is_stopped_before_its_end_does_not_claim_success(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    demo = start_command("demo", "--events", "5000", "--rate", "10", "--no-dashboard", "--dir", str(tmp_path))
    wait_for_line(demo, "scores")
    demo.send_signal(signal.SIGINT)
    stdout, _ = demo.communicate()
    assert demo.returncode == 130
    assert "not checked" in stdout
    assert processes_of(tmp_path) == {}


def test_a_stop_during_start_up_leaves_no_process(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    demo = start_command("demo", "--events", "1000", "--dir", str(tmp_path))
    wait_for_line(demo, "starting 1 worker")
    demo.terminate()
    _, stderr = demo.communicate()
    assert demo.returncode == 130
    assert "Traceback" not in stderr
    assert processes_of(tmp_path) == {}
