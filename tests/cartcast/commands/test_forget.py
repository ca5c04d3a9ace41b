"""`cartcast forget`, what it refuses: in one line, before anybody is asked to be forgotten."""

import pytest

from tests.harness.command import run_command

AWAY = {"CARTCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "CARTCAST_CLICKHOUSE__URL": "http://127.0.0.1:1"}


@pytest.fixture
def listed(tmp_path):
    def listed(content: bytes):
        path = tmp_path / "ids.txt"
        path.write_bytes(content)
        return path

    return listed


@pytest.mark.parametrize("arguments", [(), ("--status", "u1")])
def test_shoppers_or_the_status_are_asked_for(arguments):
    ended = run_command("forget", *arguments, environment=AWAY)
    assert (ended.status, ended.stdout) == (2, "")
    assert "give shoppers to forget, by id or --file, or --status alone" in ended.stderr


@pytest.mark.parametrize(("content", "line"), [(b"u1\n\nu2\n", 2), (b"u1\nu2\n\xff\n", 3), (b"x" * 2000 + b"\n", 1)])
def test_a_line_that_is_no_id_is_named_and_not_shown(listed, content, line):
    ended = run_command("forget", "--file", listed(content), environment=AWAY)
    assert (ended.status, ended.stdout) == (2, "")
    assert f"ids.txt, line {line}: no id, which has 1 to 1024 bytes; nobody was asked to be forgotten" in ended.stderr
    assert "xxx" not in ended.stderr


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    ended = run_command("forget", "--file", tmp_path / "none", environment=AWAY)
    assert (ended.status, len(ended.stderr.splitlines())) == (2, 1)
    assert "cannot be read (No such file or directory)" in ended.stderr


@pytest.mark.usefixtures("quick_refusal")
def test_a_kafka_that_is_away_is_one_line():
    ended = run_command("forget", "u1", environment=AWAY)
    assert (ended.status, ended.stdout, len(ended.stderr.splitlines())) == (1, "", 1)
    assert "Kafka at 127.0.0.1:1 does not answer" in ended.stderr


@pytest.fixture
def quick_refusal(monkeypatch):
    monkeypatch.setattr("service.kafka.TIMEOUT_SECONDS", 0.5)
