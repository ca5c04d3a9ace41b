"""The whole pipeline with every connection secured, and no secret in anything that it says, at debug level."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from cartcast.settings import Settings
from cartcast.settings.fields import setting_fields
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from tests.harness.certificates import Authority
from tests.harness.pipeline import shoppers
from tests.harness.ports import new_port
from tests.harness.secure_kafka import CLIENT_SECRET, PASSWORD, USER, SecureKafka, SettingsOf, secure_kafka
from tests.harness.sink_process import Engine
from tests.harness.tls_servers import tls_front, token_endpoint
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration

CLICKHOUSE_PASSWORD = "s3cret-clickhouse-password"  # noqa: S105 - nobody's

Variables = dict[str, str]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path / "kafka") as running:
        yield running


@pytest.fixture
def kafka(broker: SecureKafka) -> Iterator[SettingsOf]:
    with token_endpoint(USER, CLIENT_SECRET, broker.authority.issue("tokens")) as url:
        yield SettingsOf(broker, url)


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouseSettings]:
    """An engine that asks for user and password, behind TLS."""
    authority = Authority(tmp_path / "authority")
    (tmp_path / "password").write_text(CLICKHOUSE_PASSWORD)
    user = ("--user", USER, "--password-file", str(tmp_path / "password"))
    engine = Engine(tmp_path / "engine", new_port(), *user)
    with tls_front(engine.url, authority.issue("clickhouse")) as url:
        yield ClickHouseSettings(
            url=url, user=USER, password=SecretStr(CLICKHOUSE_PASSWORD), ssl_ca_location=authority.ca
        )
    engine.stop()


@pytest.fixture
def variables(clickhouse: ClickHouseSettings) -> Variables:
    """Every secret is set: those that open something, and the others to something that is looked for."""
    secrets = {field.variable: f"s3cret-of-{field.name}" for field in setting_fields(Settings) if field.is_secret}
    return secrets | {
        "CARTCAST_CLICKHOUSE__URL": clickhouse.url,
        "CARTCAST_CLICKHOUSE__USER": USER,
        "CARTCAST_CLICKHOUSE__PASSWORD": CLICKHOUSE_PASSWORD,
        "CARTCAST_CLICKHOUSE__SSL_CA_LOCATION": str(clickhouse.ssl_ca_location),
        "CARTCAST_LOG__LEVEL": "debug",
        "CARTCAST_SINK__METRICS_PORT": str(new_port()),
        "CARTCAST_DASHBOARD__PORT": str(new_port()),
    }


class Commands:
    """Runs commands and keeps all that they print."""

    def __init__(self, directory: Path, variables: Variables) -> None:
        self._directory = directory
        self._variables = variables
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, kafka: Variables, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self._directory / f"{len(self._running)}-{arguments[0]}.said").open("wb") as said:
            command = [sys.executable, "-m", "cartcast", *arguments]
            environment = os.environ | self._variables | kafka
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        self._running.append(process)
        return process

    def run(self, kafka: Variables, *arguments: str) -> None:
        assert self.start(kafka, *arguments).wait() == 0, self.said()

    def stop(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        assert [process.wait() for process in self._running] == [0] * len(self._running), self.said()

    def said(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self._directory.glob("*.said")))


@pytest.fixture
def commands(tmp_path: Path, variables: Variables) -> Iterator[Commands]:
    commands = Commands(tmp_path, variables)
    yield commands
    for process in commands._running:
        process.kill()
        process.wait()


def test_every_event_is_stored_through_secured_connections_and_no_secret_is_said(
    kafka: SettingsOf, clickhouse: ClickHouseSettings, variables: Variables, commands: Commands, tmp_path: Path
) -> None:
    events = shoppers(300, users=30, seed=4)
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    commands.run(kafka.variables("PLAIN"), "topics", "create")
    commands.run({}, "migrate")
    commands.start(kafka.variables("mutual TLS"), "worker")
    commands.start(kafka.variables("SCRAM-SHA-512"), "sink")
    commands.start({}, "dashboard")
    commands.run(kafka.variables("SCRAM-SHA-256"), "replay", str(history), "--format", "cartcast")
    eventually(lambda: '"users"' in commands.said(), "a worker that has joined its group", found=commands.said)
    commands.run(kafka.variables("OAUTHBEARER"), "doctor")
    for form in ([], ["--json"]):
        commands.run(kafka.variables("OAUTHBEARER"), "config", "show", *form)
    eventually(
        lambda: _stored(clickhouse) == len({event.event_id for event in events}), "every score", found=commands.said
    )
    eventually(lambda: _listens(int(variables["CARTCAST_DASHBOARD__PORT"])), "the pages", found=commands.said)
    commands.stop()
    said = commands.said()
    assert "expires in" in said  # the doctor's certificates
    secrets = {PASSWORD, CLIENT_SECRET, *(value for value in variables.values() if value.startswith("s3cret"))}
    assert {secret for secret in secrets if secret in said} == set()
    assert "s3cret" not in said


def _stored(settings: ClickHouseSettings) -> int:
    client = connect(settings)
    try:
        return int(str(client.command("SELECT count() FROM cartcast.scores")))
    finally:
        client.close_connections()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
