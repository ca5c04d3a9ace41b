"""The command `cartcast doctor` where a part of the packages is not installed, as in each image."""

import json
import sys

import pytest
from typer.testing import CliRunner

from cartcast.__main__ import app
from cartcast.commands.doctor import CHECKS
from service.errors import CartcastError

ASK_MODEL = {"safetensors": "model.checkpoint", "torch": "model.inference"}
ASK_CLICKHOUSE = {"clickhouse_connect": "service.clickhouse"}
"""Packages, and the module of ours that imports them first."""
RUNNING = ("workers", "sink", "letters")


def run(*arguments):
    done = CliRunner().invoke(app, ["doctor", *arguments])
    return done.exit_code, done.stdout


@pytest.fixture
def stub(monkeypatch):
    """Let checks find something without a server."""

    def stubbed(*names):
        for name in names:
            monkeypatch.setitem(CHECKS, name, lambda _: "answers")

    return stubbed


@pytest.fixture
def hide(monkeypatch):
    """Let imports of packages fail, as where they are not installed."""

    def hidden(packages):
        for package, importer in packages.items():
            monkeypatch.delitem(sys.modules, importer, raising=False)
            monkeypatch.setitem(sys.modules, package, None)

    return hidden


def test_what_the_image_of_the_sink_lacks_is_skipped(stub, hide):
    stub("kafka", "topics", "access", "transactions", "producers", "clickhouse", "table", *RUNNING, "stored")
    hide(ASK_MODEL)
    code, out = run()
    assert code == 0
    assert out.splitlines() == [
        "ok    settings      from the environment and defaults",
        "ok    certificates  none is set",
        "ok    passwords     none is readable on the network",
        "ok    kafka         answers",
        "ok    topics        answers",
        "ok    access        answers",
        "ok    transactions  answers",
        "ok    producers     answers",
        "ok    clickhouse    answers",
        "ok    table         answers",
        "skip  checkpoint    not part of this installation: needs the package safetensors",
        "skip  device        not part of this installation: needs the package torch",
        "ok    workers       answers",
        "ok    sink          answers",
        "ok    letters       answers",
        "ok    stored        answers",
    ]


def test_what_the_image_of_the_worker_lacks_is_skipped_and_null_in_json(stub, hide):
    stub("kafka", "topics", "access", "transactions", "producers", "checkpoint", "device", *RUNNING)
    hide(ASK_CLICKHOUSE)
    code, out = run("--json")
    found = {check: finding["ok"] for check, finding in json.loads(out).items()}
    expected = dict.fromkeys(
        (
            "settings",
            "certificates",
            "passwords",
            "kafka",
            "topics",
            "access",
            "transactions",
            "producers",
            "checkpoint",
            "device",
            *RUNNING,
        ),
        True,
    )
    assert (code, found) == (0, {**expected, "clickhouse": None})


def test_what_fails_beside_what_is_skipped_still_fails(stub, hide, monkeypatch):
    def refuse(_):
        raise CartcastError("start it")

    stub("clickhouse", "table")
    monkeypatch.setitem(CHECKS, "kafka", refuse)
    hide(ASK_MODEL)
    code, out = run()
    assert code == 1
    assert "FAIL  kafka         start it\n" in out


def test_a_missing_module_of_our_own_is_a_bug(stub, monkeypatch):
    stub(
        "kafka",
        "topics",
        "access",
        "transactions",
        "producers",
        "clickhouse",
        "table",
        "horizons",
        "device",
        *RUNNING,
        "stored",
    )
    monkeypatch.setitem(sys.modules, "model.checkpoint", None)
    done = CliRunner().invoke(app, ["doctor"])
    assert isinstance(done.exception, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"CLICKHOUSE__URL": "http://db.example:8123"}, ""),
        ({"CLICKHOUSE__URL": "http://127.0.0.1:8123", "CLICKHOUSE__PASSWORD": "x"}, ""),
        ({"CLICKHOUSE__URL": "https://192.0.2.7", "CLICKHOUSE__PASSWORD": "x"}, ""),
        (
            {"CLICKHOUSE__URL": "http://192.0.2.7:8123", "CLICKHOUSE__PASSWORD": "x"},
            "ClickHouse's, to http://192.0.2.7",
        ),
        ({"DASHBOARD__WORKER_URL": "http://192.0.2.7:1", "DASHBOARD__WORKER_TOKEN": "x"}, "the workers' token"),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA__SASL_MECHANISM": "PLAIN"}, "Kafka's, with SASL PLAIN"),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA__SASL_MECHANISM": "SCRAM-SHA-256"}, ""),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "PLAIN"}, ""),
    ],
)
def test_passwords_that_others_on_the_network_can_read_are_a_warning_and_no_failure(
    stub, monkeypatch, settings, warned
):
    stub(*(name for name in CHECKS if name != "passwords"))
    user = {"KAFKA__SASL_USERNAME": "u", "KAFKA__SASL_PASSWORD": "p"} if "KAFKA__SECURITY_PROTOCOL" in settings else {}
    for name, value in (settings | user).items():
        monkeypatch.setenv(f"CARTCAST_{name}", value)
    code, out = run()
    line = next(line for line in out.splitlines() if " passwords " in line)
    assert (code, line.startswith("warn")) == (0, bool(warned))
    assert warned in line
    code, out = run("--json")
    assert (code, json.loads(out)["passwords"]["warns"]) == (0, bool(warned))


def test_whether_the_checkpoint_can_recommend_is_asked_only_where_that_is_on(stub, monkeypatch):
    stub(*(name for name in CHECKS if name not in {"checkpoint", "next_items"}))
    assert "next_items" not in run()[1]
    monkeypatch.setenv("CARTCAST_RECOMMENDATIONS__EVENTS", "cart")
    code, out = run()
    assert (code, "recommended   answers" in out) == (1, True)
    (line,) = (line for line in out.splitlines() if "next_items" in line)
    assert line.startswith("FAIL  next_items    recommendations.events is set, but ")
