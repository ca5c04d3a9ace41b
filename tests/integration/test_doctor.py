import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cartcast.commands.doctor import examine
from cartcast.local.stack import LocalStack
from model.checkpoint import Calibration, save_checkpoint
from model.lstm import LSTMConfig, PropensityLSTM
from tests.harness.command import run_command
from tests.harness.ports import new_port
from tests.harness.waiting import eventually, has_partitions

pytestmark = pytest.mark.integration

CHECKS = [
    *(
        "settings",
        "certificates",
        "passwords",
        "kafka",
        "topics",
        "transactions",
        "producers",
        "clickhouse",
        "table",
        "checkpoint",
    ),
    *("horizons", "device", "workers", "sink", "letters", "stored"),
]
NOT_BEFORE = ["topics", "producers", "table", "horizons", "workers", "sink", "letters", "stored"]


def test_it_fails_before_topics_and_table_exist_and_passes_then(stack: LocalStack, topic_prefix: str) -> None:
    environment = {
        **stack.environment(),
        "CARTCAST_KAFKA__TOPIC_PREFIX": topic_prefix,
        "CARTCAST_CLICKHOUSE__DATABASE": topic_prefix,
    }

    def findings(status: int) -> dict[str, dict[str, object]]:
        doctor = run_command("doctor", "--json", environment=environment)
        assert doctor.status == status, doctor.stdout
        return json.loads(doctor.stdout)

    before = findings(status=1)
    assert [check for check in CHECKS if check not in before or not before[check]["ok"]] == NOT_BEFORE
    assert "horizons" not in before
    assert "cartcast topics create" in str(before["topics"]["detail"])
    assert "cartcast migrate" in str(before["table"]["detail"])
    for command in (["topics", "create"], ["migrate"]):
        assert run_command(*command, environment=environment).status == 0
    after = findings(status=0)
    assert [check for check in CHECKS if after[check]["ok"]] == CHECKS


def test_events_that_nobody_reads_and_strangers_in_the_sinks_group_are_failures(
    stack: LocalStack, topic_prefix: str
) -> None:
    environment = {
        **stack.environment(),
        "CARTCAST_KAFKA__TOPIC_PREFIX": topic_prefix,
        "CARTCAST_KAFKA__PARTITIONS": "2",
        "CARTCAST_CLICKHOUSE__DATABASE": topic_prefix,
    }
    for command in (["topics", "create"], ["migrate"]):
        assert run_command(*command, environment=environment).status == 0
    for options in (["--once"], []):  # without a terminal the second is the first
        assert run_command("status", *options, environment=environment).status == 0
    kafka = {"bootstrap.servers": stack.bootstrap_servers}
    producer = Producer(kafka)
    for number in range(20):
        producer.produce(f"{topic_prefix}.events", b"{}", b"u", partition=number % 2)
    producer.flush()
    stranger = Consumer({**kafka, "group.id": f"{topic_prefix}-sink", "session.timeout.ms": 6000})
    stranger.subscribe([f"{topic_prefix}.scores"])
    eventually(lambda: has_partitions(stranger), "a stranger in the group")

    doctor = run_command("doctor", environment=environment)
    assert doctor.status == 1
    lines = {line[6:].split()[0]: line for line in doctor.stdout.splitlines()}
    assert lines["workers"] == "FAIL  workers       nobody runs, and 20 records wait: run `cartcast worker`"
    assert "rdkafka @ 127.0.0.1 in group" in lines["sink"]
    assert lines["letters"].startswith("ok")
    assert lines["stored"].endswith("no row yet")

    once = run_command("status", "--json", environment=environment)
    assert once.status == 1
    workers, sink, letters = json.loads(once.stdout)["groups"]
    assert (workers["lag"], len(workers["partitions"]), workers["members"]) == (20, 2, 0)
    assert {each["owner"] for each in sink["partitions"]} == {"rdkafka @ 127.0.0.1"}
    assert letters["problems"] == []
    stranger.close()


def test_a_topic_that_loses_records_is_a_failure(stack: LocalStack, topic_prefix: str) -> None:
    environment = {**stack.environment(), "CARTCAST_KAFKA__TOPIC_PREFIX": topic_prefix}
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for name, policy in (("events", "compact"), ("sequences-changelog", "delete")):
        joint = "-" if policy == "delete" else "."
        topic = NewTopic(f"{topic_prefix}{joint}{name}", 4, 1, config={"cleanup.policy": policy})
        admin.create_topics([topic])[topic.topic].result()
    assert run_command("topics", "create", "--partitions", "4", environment=environment).status == 0
    done = run_command("doctor", "--json", environment=environment)
    found = json.loads(done.stdout)["topics"]
    assert (done.status, found["ok"]) == (1, False)
    assert f"{topic_prefix}.events has cleanup.policy compact, the settings say delete" in found["detail"]
    assert f"{topic_prefix}-sequences-changelog has cleanup.policy delete" in found["detail"]


def test_servers_that_do_not_answer_are_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.kafka.TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("CARTCAST_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{new_port()}")
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__URL", f"http://127.0.0.1:{new_port()}")
    failed = {finding.check: finding.detail for finding in examine(None) if not finding.ok}
    assert set(failed) == {"kafka", "clickhouse"}
    assert all("cartcast up" in detail for detail in failed.values())


def test_a_broker_that_is_not_where_it_says_is_named(monkeypatch: pytest.MonkeyPatch, stack: LocalStack) -> None:
    monkeypatch.setenv("CARTCAST_KAFKA__BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    elsewhere = SimpleNamespace(id=7, host="127.0.0.1", port=new_port())
    monkeypatch.setattr("streams.topics.metadata", lambda *_: SimpleNamespace(brokers={7: elsewhere}))
    (found,) = (each for each in examine(None) if each.check == "kafka")
    assert not found.ok
    assert f"broker 7 is at 127.0.0.1:{elsewhere.port}, where this machine reaches nothing" in found.detail


def test_wrong_settings_are_the_only_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARTCAST_KAFKA__PARTITIONS", "none")
    (finding,) = examine(None)
    assert not finding.ok
    assert "kafka.partitions" in finding.detail


def test_a_missing_checkpoint_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stack: LocalStack) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CARTCAST_WORKER__CHECKPOINT", str(tmp_path / "nowhere"))
    failed = {finding.check: finding.detail for finding in examine(None) if not finding.ok}
    assert "nowhere" in failed["checkpoint"]


def test_horizons_that_the_table_would_leave_out_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stack: LocalStack, topic_prefix: str
) -> None:
    model = PropensityLSTM(LSTMConfig(hidden_size=4, horizons=("1h", "30m", "7d")))
    save_checkpoint(tmp_path / "model", model, calibration=Calibration.identity(3), metrics={}, training={})
    environment = {
        **stack.environment(),
        "CARTCAST_CLICKHOUSE__DATABASE": topic_prefix,
        "CARTCAST_WORKER__CHECKPOINT": str(tmp_path / "model"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run_command("migrate").status == 0
    failed = {finding.check: finding.detail for finding in examine(None) if not finding.ok}
    assert "cartcast migrate --horizons 30m,7d" in failed["horizons"]
    assert run_command("migrate", "--horizons", "30m,7d").status == 0
    assert "horizons" in {finding.check for finding in examine(None) if finding.ok}
