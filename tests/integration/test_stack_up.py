"""The local stack as `cartcast up` runs it, and its directory."""

import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cartcast.demo.readback import read_to_end
from cartcast.local import stack as stack_module
from cartcast.local.stack import LocalStack, local_stack
from service.errors import LocalStackError
from service.kafka_settings import Topics
from streams.topics import create_topics

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


def test_two_stacks_run_side_by_side_and_a_stop_signal_ends_each_cleanly(
    start_command: StartCommand, processes_of: ProcessesOf, tmp_path: Path
) -> None:
    for_a_program = start_command("up", "--dir", str(tmp_path / "one"), "--json")
    for_a_shell = start_command("up", "--dir", str(tmp_path / "two"))
    addresses = []
    for up in (for_a_program, for_a_shell):
        read_until(up, "ready")
    for name in ("one", "two"):
        assert len(processes_of(tmp_path / name)) >= 5  # up, two tethers, Kafka, ClickHouse
    for up, stop_signal in ((for_a_program, signal.SIGTERM), (for_a_shell, signal.SIGINT)):
        up.send_signal(stop_signal)
        stdout, stderr = up.communicate()
        assert up.returncode == 0, stderr
        addresses += addresses_of_json(stdout) if up is for_a_program else addresses_of_a_shell(stdout)
    assert processes_of(tmp_path) == {}
    assert len(set(addresses)) == 4
    assert all("127.0.0.1:" in address for address in addresses)


def addresses_of_json(stdout: str) -> list[str]:
    printed = json.loads(stdout.splitlines()[-1])
    assert set(printed) == {"bootstrap_servers", "clickhouse_url", "environment"}
    return [printed["bootstrap_servers"], printed["clickhouse_url"]]


def addresses_of_a_shell(stdout: str) -> list[str]:
    """What a shell that evaluates the output has in its variables."""
    script = f"{stdout}\necho $CARTCAST_KAFKA__BOOTSTRAP_SERVERS $CARTCAST_CLICKHOUSE__URL"
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    return shell.stdout.split()


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


def test_a_directory_is_one_stacks_and_is_opened_again_with_its_topics_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "LOCK_WAIT_SECONDS", 0.1)
    topics = Topics(prefix="kept")
    with kafka_in(tmp_path) as running:
        config = {"bootstrap.servers": running.bootstrap_servers}
        cluster_id = AdminClient(config).list_topics().cluster_id
        create_topics(config, topics, partitions=1, replication_factor=1)
        producer = Producer(config)
        producer.produce(topics.events, b"{}", b"ada")
        producer.flush()
        with pytest.raises(LocalStackError, match=r"another cartcast uses .* choose another --dir"):
            kafka_in(tmp_path).__enter__()
    with kafka_in(tmp_path) as running:
        config = {"bootstrap.servers": running.bootstrap_servers}
        assert AdminClient(config).list_topics().cluster_id == cluster_id
        assert create_topics(config, topics, partitions=1, replication_factor=1) == []
        assert [message.key() for message in read_to_end(config, topics.events)] == [b"ada"]


def kafka_in(directory: Path) -> AbstractContextManager[LocalStack]:
    return local_stack(directory, lambda _: None, with_clickhouse=False, preferred_ports=False)
