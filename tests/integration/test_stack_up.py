"""The local stack as `cartcast up` runs it, and its directory."""

import json
import signal
import stat
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from cartcast.demo.readback import read_to_end
from cartcast.local import stack as stack_module
from cartcast.local.stack import PASSWORD_FILE, LocalStack, local_stack
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import LocalStackError, RefusedError
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
    assert_own_passwords(tmp_path / "one", tmp_path / "two")
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


def assert_own_passwords(*directories: Path) -> None:
    """Each stack has a password that only its owner can read, in folders that only they can open."""
    files = [directory / PASSWORD_FILE for directory in directories]
    assert len({path.read_text() for path in files}) == 2
    assert min(len(path.read_text()) for path in files) >= 32
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    private = [path for each in directories for path in (each, each / "clickhouse", each / "kafka", each / "logs")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o700}


def test_the_settings_that_are_printed_lead_to_clickhouse_and_without_them_nobody_gets_in(tmp_path: Path) -> None:
    for _ in range(2):  # who starts again keeps the password, which shells have in their variables
        with local_stack(tmp_path, lambda _: None, preferred_ports=False) as running:
            password = (tmp_path / PASSWORD_FILE).read_text()
            assert running.environment()["CARTCAST_CLICKHOUSE__PASSWORD"] == password
            settings = ClickHouseSettings.model_validate(running.settings()["clickhouse"])
            client = connect(settings)
            assert client.command("SELECT 1") == 1
            client.close_connections()
            with pytest.raises(RefusedError, match="refuses user default"):
                connect(settings.model_copy(update={"password": SecretStr("")}))
    assert (tmp_path / PASSWORD_FILE).read_text() == password


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
