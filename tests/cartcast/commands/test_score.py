import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
import torch

from model.checkpoint import Calibration, save_checkpoint
from model.level import Level, LevelFile, write_level_file
from model.lstm import LSTMConfig, PropensityLSTM
from model.simulator import SimulationSettings, simulate
from tests.harness.command import run_command

HORIZONS = ("session", "30m")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights and horizons of its own."""
    directory = tmp_path_factory.mktemp("model") / "checkpoint"
    torch.manual_seed(1)
    model = PropensityLSTM(LSTMConfig(hidden_size=8, horizons=HORIZONS))
    save_checkpoint(directory, model, calibration=Calibration.identity(len(HORIZONS)), metrics={}, training={})
    return directory


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.jsonl"
    events = simulate(SimulationSettings(events=3000, users=60, seed=4))
    lines = [msgspec.json.encode(event) for event in events]
    path.write_bytes(b"\n".join([*lines[:10], b"damaged", *lines[10:], lines[-1]]) + b"\n")
    return path


def score(*arguments: object) -> tuple[int, str, str]:
    """Run the command; return its exit code and what it wrote to stdout and stderr."""
    ended = run_command("score", *arguments)
    return ended.status, ended.stdout, ended.stderr


@pytest.fixture
def options(shop: Path, checkpoint: Path, tmp_path: Path) -> dict[str, Path | str]:
    """What makes sense together."""
    return {"--events": shop, "--format": "cartcast", "--checkpoint": checkpoint, "--out": tmp_path / "s.parquet"}


def test_scores_shifted_to_a_level_say_by_how_much(shop, checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "c")
    model = json.loads((checkpoint / "checkpoint.json").read_bytes())["version"]
    write_level_file(tmp_path / "c", LevelFile(model, (Level(0, {"session": 0.25}),)))
    out = tmp_path / "scores.csv"
    code, _, stderr = score("--events", shop, "--format", "cartcast", "--checkpoint", tmp_path / "c", "--out", out)
    assert code == 0, stderr
    header, first, *_ = out.read_text().splitlines()
    assert header.endswith("propensity_session,propensity_30m,shift_session")
    assert first.endswith(",0.25")


def test_a_file_is_scored_with_one_row_an_accepted_event(shop, checkpoint, tmp_path):
    out = tmp_path / "scores.parquet"
    options = ("--events", shop, "--format", "cartcast", "--checkpoint", checkpoint, "--out", out, "--json")
    code, stdout, stderr = score(*options)
    assert code == 0, stderr
    result = json.loads(stdout.splitlines()[-1])
    table = pq.read_table(out)
    assert table.column_names == ["row", "user_id", "event_id", "event_time", "propensity_session", "propensity_30m"]
    assert result["scored"] == len(table)
    assert (result["rows"], result["bad_rows"]) == (3002, 1)
    assert result["scored"] + result["duplicates"] + result["bad_rows"] == result["rows"]
    rows = table["row"].to_pylist()
    assert rows == sorted(rows)
    assert 10 not in rows
    lines = shop.read_bytes().splitlines()
    assert table["event_id"].to_pylist() == [json.loads(lines[row])["event_id"] for row in rows]
    assert "shop.jsonl, line 11: not JSON" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.parquet"]


def test_several_files_are_one_history_whose_rows_are_numbered_on(shop, checkpoint, tmp_path):
    lines = shop.read_bytes().splitlines(keepends=True)
    for name, part in (("a", lines[:1000]), ("b", lines[1000:])):
        (tmp_path / name).write_bytes(b"".join(part))
    common = ("--format", "cartcast", "--checkpoint", checkpoint)
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert score("--events", shop, *common, "--out", whole)[0] == 0
    assert score("--events", tmp_path / "a", "--events", tmp_path / "b", *common, "--out", parts)[0] == 0
    assert whole.read_bytes() == parts.read_bytes()


def test_events_whose_shoppers_do_not_consent_are_left_out_by_the_workers_settings(shop, checkpoint, tmp_path):
    lines = [json.loads(line) for line in shop.read_bytes().splitlines()[:10]]
    for line, wishes in zip(lines, [False, {"ads": False, "advice": True}, True], strict=False):
        line["context"] = {"consent": wishes}
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    given = ("--events", tmp_path / "some.jsonl", "--checkpoint", checkpoint, "--out", tmp_path / "s.parquet")
    status, _, said = score(*given)
    assert status == 0
    assert "bad rows: 2 events whose shoppers do not consent" in said
    assert pq.read_table(tmp_path / "s.parquet")["row"].to_pylist() == list(range(2, 10))
    for variable, left_out in (("PURPOSES=advice", 1), ("REQUIRED=1", 9)):
        name, value = f"CARTCAST_WORKER__CONSENT_{variable}".split("=")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            status, told, _ = score(*given, "--json")
        assert (status, json.loads(told)["without_consent"]) == (0, left_out)


@pytest.mark.parametrize(
    ("changes", "exit_code", "words"),
    [
        ({"--events": "missing.jsonl"}, 1, "missing.jsonl cannot be read"),
        ({"--events": __file__}, 1, "does not look like format cartcast"),
        ({"--format": "excel"}, 2, "unknown"),
        ({"--checkpoint": "/nowhere"}, 1, "/nowhere"),
        ({"--device": "abacus"}, 1, "abacus"),
        ({"--out": "scores.tsv"}, 2, ".parquet"),
        ({"--out": "/dev/null/scores.parquet"}, 2, "cannot be written"),
        ({"--since": "2017-12-01"}, 2, "--from-clickhouse"),
    ],
)
def test_a_mistake_is_one_line_an_exit_code_and_no_file(options, changes, exit_code, words):
    code, stdout, stderr = score(*(part for option in (options | changes).items() for part in option))
    last = stderr.splitlines()[-1]
    assert (code, stdout) == (exit_code, ""), stderr
    assert last.startswith("cartcast: ")
    assert words in last
    assert list(options["--out"].parent.iterdir()) == []


def test_the_file_to_read_is_not_overwritten(shop, checkpoint):
    before = shop.read_bytes()
    code, *_ = score("--events", shop, "--format", "cartcast", "--checkpoint", checkpoint, "--out", shop)
    assert (code, shop.read_bytes()) == (2, before)


def test_strict_stops_at_a_bad_row_and_leaves_nothing(shop, checkpoint, tmp_path):
    out = tmp_path / "scores.jsonl.gz"
    options = ("--events", shop, "--format", "cartcast", "--checkpoint", checkpoint, "--out", out, "--strict")
    code, _, stderr = score(*options)
    assert (code, list(tmp_path.iterdir())) == (1, [])
    assert "line 11" in stderr


def test_an_interrupt_leaves_nothing(checkpoint, tmp_path):
    """The history is a pipe that the test keeps open, so the command is surely in the midst of it."""
    pipe = tmp_path / "history.jsonl"
    os.mkfifo(pipe)
    options = ["--events", pipe, "--format", "cartcast", "--checkpoint", checkpoint, "--out", tmp_path / "s.parquet"]
    command = [sys.executable, "-m", "cartcast", "score", *map(str, options)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process, pipe.open("wb"):
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]
