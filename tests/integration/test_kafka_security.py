"""Every way to a secured Kafka, and the whole pipeline with every connection secured, no secret in what it says."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr

from cartcast.commands.doctor import CHECKS, DoubtfulError, examine
from cartcast.settings import Settings
from cartcast.settings.fields import setting_fields
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError
from service.kafka_settings import KafkaSettings, Topics
from streams.fenced import ChangelogWriter, Elsewhere
from streams.records.writer import OutputRecord, OutputRecords, record_batches
from streams.security import faust_credentials
from streams.topics import count_brokers, create_topics
from tests.harness.certificates import Authority
from tests.harness.command import run_command
from tests.harness.pipeline import DRAIN_SECONDS, PARTITIONS, Pipeline, pipelines, shoppers
from tests.harness.ports import new_port
from tests.harness.secure_kafka import (
    CLIENT_SECRET,
    PASSWORD,
    USER,
    SecureKafka,
    SettingsOf,
    secure_kafka,
    variables_of,
)
from tests.harness.sink_process import Engine
from tests.harness.tls_servers import tls_front, token_endpoint
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration

CLICKHOUSE_PASSWORD = "s3cret-clickhouse-password"  # noqa: S105 - nobody's
WAYS = ("mutual TLS", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

Variables = dict[str, str]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path_factory.mktemp("secure")) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(broker: SecureKafka) -> Iterator[str]:
    with token_endpoint(USER, CLIENT_SECRET, broker.authority.issue("tokens")) as url:
        yield url


@pytest.fixture
def settings_of(broker: SecureKafka, tokens: str) -> SettingsOf:
    return SettingsOf(broker, tokens)


@pytest.mark.parametrize("way", WAYS)
async def test_both_clients_get_in(settings_of: SettingsOf, way: str) -> None:
    client_config = settings_of(way).client_config()
    assert count_brokers(client_config) == 1
    servers = client_config["bootstrap.servers"]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, **credentials_to_aiokafka_auth(faust_credentials(client_config))
    )
    await consumer.start()
    try:
        assert await consumer.topics() is not None
    finally:
        await consumer.stop()


@pytest.fixture
def restricted(broker: SecureKafka, topic_prefix: str) -> Callable[..., KafkaSettings]:
    """Make topics, and return the settings of a user who may do only what is given with some of them."""

    def settings(**allowed: AclOperation) -> KafkaSettings:
        topics, plain = Topics(prefix=topic_prefix), {"bootstrap.servers": broker.plain}
        create_topics(plain, topics, partitions=PARTITIONS, replication_factor=1)
        only, whose = AclPermissionType.ALLOW, (f"User:{USER}", "*")
        entries = [
            AclBinding(ResourceType.TOPIC, getattr(topics, name), ResourcePatternType.LITERAL, *whose, operation, only)
            for name, operation in allowed.items()
        ]
        admin = AdminClient(plain)
        for done in admin.create_acls(entries).values() if entries else ():
            done.result()
        for each in entries:  # the broker learns of them a moment later
            of_it = AclBindingFilter(each.restype, each.name, each.resource_pattern_type, *whose, each.operation, only)
            eventually(lambda of_it=of_it: admin.describe_acls(of_it).result(), f"the ACL of {each.name}")
        return SettingsOf(broker, "")("PLAIN", topic_prefix=topic_prefix)

    return settings


def test_the_doctor_says_what_acls_do_not_allow(restricted: Callable[..., KafkaSettings]) -> None:
    kafka = restricted()
    assert CHECKS["access"](Settings(kafka=kafka)) == "this user may read and write what workers and sinks need"
    restricted(identity=AclOperation.READ, forget=AclOperation.WRITE)
    prefix = kafka.topic_prefix
    told = f"do not let this user Write on topic {prefix}.identity, Read on topic {prefix}.forget: allow them"
    with pytest.raises(DoubtfulError, match=told):
        CHECKS["access"](Settings(kafka=kafka))


def test_a_worker_that_may_not_read_the_events_ends_with_a_line(restricted: Callable[..., KafkaSettings]) -> None:
    kafka = restricted(events=AclOperation.WRITE)
    ended = run_command("worker", environment=variables_of(kafka))
    assert ended.status == 1
    told = rf"cartcast: cannot read {kafka.topics.events}\b.*authorization failed, see the ACLs in docs/"
    assert re.match(told, ended.stderr.splitlines()[-1]), ended.stderr


async def test_states_that_may_not_be_written_name_the_topic(restricted: Callable[..., KafkaSettings]) -> None:
    kafka = restricted(identity=AclOperation.READ)
    topics, writer = kafka.topics, ChangelogWriter(kafka.client_config(), kafka.topics, 0)
    await writer.start()
    (batch,) = record_batches(OutputRecords.of([OutputRecord(b"u", b"v")]), 1, in_transaction=True)
    try:
        with pytest.raises(RefusedError, match=rf"{topics.identity}: .*authorization failed, see the ACLs in docs/"):
            await writer.write([batch], [Elsewhere(topics.identity, 0, batch)])
    finally:
        await writer.close()


@pytest.fixture
def pipeline(broker: SecureKafka, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(broker.plain, topic_prefix, tmp_path)


def test_a_worker_scores_with_tokens(settings_of: SettingsOf, pipeline: Pipeline, tmp_path: Path) -> None:
    """The consumer, the publisher, the changelog, the replay: all ask for tokens."""
    variables = settings_of.variables("OAUTHBEARER") | {"CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix}
    history = tmp_path / "history.jsonl"
    events = shoppers(400, users=40, seed=3)
    history.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    assert run_command("replay", history, "--format", "cartcast", environment=variables).status == 0
    distinct = len({event.event_id for event in events})
    worker = pipeline.start_worker(**variables)
    pipeline.wait_for_scores(distinct)
    assert worker.stop() == 0
    pipeline.check_scores()


@pytest.mark.parametrize(
    ("way", "others", "told"),
    [
        ("PLAIN", {"sasl_password": "wrong"}, f"refuses user {USER} .*CARTCAST_KAFKA__SASL_PASSWORD"),
        ("SCRAM-SHA-512", {"sasl_password": "wrong"}, f"refuses user {USER} .*CARTCAST_KAFKA__SASL_PASSWORD"),
        ("OAUTHBEARER", {"oauth_client_secret": "wrong"}, f"refuses user {USER} .*CARTCAST_KAFKA__OAUTH_"),
        (
            "mutual TLS",
            {"ssl_certificate_location": None, "ssl_key_location": None},
            "asks for a client's certificate: set CARTCAST_KAFKA__SSL_CERTIFICATE_LOCATION",
        ),
        ("mutual TLS", {"ssl_key_password": "wrong"}, "CARTCAST_KAFKA__SSL_KEY_PASSWORD"),
        ("PLAIN", {"ssl_ca_location": None}, "no known authority has signed .*CARTCAST_KAFKA__SSL_CA_LOCATION"),
    ],
)
def test_what_is_refused_is_one_line_that_says_what_to_correct(
    settings_of: SettingsOf, way: str, others: dict[str, object], told: str
) -> None:
    with pytest.raises(RefusedError, match=told) as refused:
        count_brokers(settings_of(way, **others).client_config())
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_a_broker_under_another_name_is_refused_unless_names_are_not_verified(
    broker: SecureKafka, settings_of: SettingsOf
) -> None:
    other_name = broker.sasl.replace("127.0.0.1", "localhost")
    with pytest.raises(RefusedError, match="certificate for another name"):
        count_brokers(settings_of("PLAIN", bootstrap_servers=other_name).client_config())
    unverified = settings_of("PLAIN", bootstrap_servers=other_name, ssl_verify_hostname=False)
    assert count_brokers(unverified.client_config()) == 1


def test_a_broker_whose_certificate_has_expired_is_named(settings_of: SettingsOf, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with tls_front("http://127.0.0.1:1", authority.issue("expired", days=-1)) as url:
        expired = settings_of("PLAIN", bootstrap_servers=url.removeprefix("https://"), ssl_ca_location=authority.ca)
        with pytest.raises(RefusedError, match=r"127.0.0.1:\d+ shows a certificate that has expired"):
            count_brokers(expired.client_config())


def test_worker_and_sink_end_with_one_line_if_the_password_is_wrong(settings_of: SettingsOf) -> None:
    variables = settings_of.variables("PLAIN") | {"CARTCAST_KAFKA__SASL_PASSWORD": "wr0ng-password"}
    for name in ("worker", "sink"):
        ended = run_command(name, environment=variables)
        assert ended.status == 1
        assert f"refuses user {USER}" in ended.stderr
        assert ended.stderr.count("\n") == 1, ended.stderr
        assert "wr0ng" not in ended.stderr


def test_topics_with_another_number_of_partitions_are_named_by_topics_worker_and_doctor(
    pipeline: Pipeline, broker: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": broker.plain,
        "CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix,
        "CARTCAST_KAFKA__PARTITIONS": str(PARTITIONS + 1),
    }
    line = f"topic {pipeline.topics.events} has {PARTITIONS} partitions, but kafka.partitions is {PARTITIONS + 1}"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for command in (["worker"], ["topics", "create"]):
        ended = run_command(*command)
        assert (ended.status, line in ended.stderr) == (1, True), ended.stderr
    assert line in next(finding.detail for finding in examine(None) if finding.check == "topics")


@pytest.fixture
def secured_clickhouse(tmp_path: Path) -> Iterator[ClickHouseSettings]:
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
def variables(secured_clickhouse: ClickHouseSettings) -> Variables:
    """Every secret is set: those that open something, and the others to something that is looked for."""
    secrets = {field.variable: f"s3cret-of-{field.name}" for field in setting_fields(Settings) if field.is_secret}
    return secrets | {
        "CARTCAST_CLICKHOUSE__URL": secured_clickhouse.url,
        "CARTCAST_CLICKHOUSE__USER": USER,
        "CARTCAST_CLICKHOUSE__PASSWORD": CLICKHOUSE_PASSWORD,
        "CARTCAST_CLICKHOUSE__SSL_CA_LOCATION": str(secured_clickhouse.ssl_ca_location),
        "CARTCAST_LOG__LEVEL": "debug",
        "CARTCAST_WORKER__DRAIN_SECONDS": DRAIN_SECONDS,
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
    settings_of: SettingsOf,
    secured_clickhouse: ClickHouseSettings,
    variables: Variables,
    commands: Commands,
    tmp_path: Path,
) -> None:
    events = shoppers(300, users=30, seed=4)
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    commands.run(settings_of.variables("PLAIN"), "topics", "create")
    commands.run({}, "migrate")
    commands.start(settings_of.variables("mutual TLS"), "worker")
    commands.start(settings_of.variables("SCRAM-SHA-512"), "sink")
    commands.start({}, "dashboard")
    commands.run(settings_of.variables("SCRAM-SHA-256"), "replay", str(history), "--format", "cartcast")
    eventually(lambda: '"users"' in commands.said(), "a worker that has joined its group", found=commands.said)
    commands.run(settings_of.variables("OAUTHBEARER"), "doctor")
    for form in ([], ["--json"]):
        commands.run(settings_of.variables("OAUTHBEARER"), "config", "show", *form)
    eventually(
        lambda: _stored(secured_clickhouse) == len({event.event_id for event in events}),
        "every score",
        found=commands.said,
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
