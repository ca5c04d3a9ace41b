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
    stub("kafka", "topics", "clickhouse", "table")
    hide(ASK_MODEL)
    code, out = run()
    assert code == 0
    assert out.splitlines() == [
        "ok    settings      from the environment and defaults",
        "ok    certificates  none is set",
        "ok    kafka         answers",
        "ok    topics        answers",
        "ok    clickhouse    answers",
        "ok    table         answers",
        "skip  checkpoint    not part of this installation: needs the package safetensors",
        "skip  device        not part of this installation: needs the package torch",
    ]


def test_what_the_image_of_the_worker_lacks_is_skipped_and_null_in_json(stub, hide):
    stub("kafka", "topics", "checkpoint", "device")
    hide(ASK_CLICKHOUSE)
    code, out = run("--json")
    found = {check: finding["ok"] for check, finding in json.loads(out).items()}
    expected = dict.fromkeys(("settings", "certificates", "kafka", "topics", "checkpoint", "device"), True)
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
    stub("kafka", "topics", "clickhouse", "table", "horizons", "device")
    monkeypatch.setitem(sys.modules, "model.checkpoint", None)
    done = CliRunner().invoke(app, ["doctor"])
    assert isinstance(done.exception, ModuleNotFoundError)
