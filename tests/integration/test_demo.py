import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from model.simulator.styles import BRANDS
from streams.settings import DEFAULT_WEB_PORT

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


def test_two_workers_score_and_store_every_event_once(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    picture = tmp_path / "demo.svg"
    demo = start_command(
        *("demo", "--events", "5000", "--users", "200", "--workers", "2", "--no-dashboard", "--json"),
        *("--dir", str(tmp_path / "stack"), "--picture", str(picture)),
    )
    stdout, stderr = demo.communicate()
    assert demo.returncode == 0, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert (summary["events"], summary["workers"]) == (5000, 2)
    assert summary["duplicates"] > 0  # the simulator repeats some events on purpose
    assert summary["accepted"] == summary["events"] - summary["duplicates"]
    assert summary["scored"] == summary["stored"] == summary["accepted"]
    assert (summary["dead_letters"], summary["lost"], summary["duplicated"]) == (0, 0, 0)
    assert summary["events_per_second"] > 0
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    shown = picture.read_text()
    assert "5,000" in shown
    assert re.search(f"checkout.*({'|'.join(BRANDS)})", shown)  # an item beside a buyer
    assert processes_of(tmp_path) == {}


def test_an_endless_demo_opens_with_the_dashboards_address_and_ends_well_when_it_is_stopped(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    demo = start_command("demo", "--users", "300", "--history", "1", "--json", "--dir", str(tmp_path))
    wait_for_line(demo, "starting 1 worker")
    with ExitStack() as block:
        with suppress(OSError):  # a worker of another pipeline takes the port first; one has it already
            block.enter_context(socket.create_server(("127.0.0.1", DEFAULT_WEB_PORT)))
        address = wait_for_line(demo, "open the dashboard").split()[-1]
        with urlopen(address) as page:  # noqa: S310 - our own loopback address
            assert page.status == 200
    said = wait_for_line(demo, "scores")
    demo.terminate()
    stdout, stderr = demo.communicate()
    assert demo.returncode == 0, said + stderr
    assert "Traceback" not in stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["complete"] is False
    assert summary["events"] > 0
    assert processes_of(tmp_path) == {}


def test_a_demo_that_is_stopped_before_its_end_does_not_claim_success_and_leaves_nothing(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    demo = start_command("demo", "--events", "5000", "--rate", "10", "--no-dashboard", environment=environment)
    wait_for_line(demo, "scores")
    demo.send_signal(signal.SIGINT)
    stdout, _ = demo.communicate()
    assert demo.returncode == 130
    assert "not checked" in stdout
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.glob("cartcast-demo-*")) == []


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
