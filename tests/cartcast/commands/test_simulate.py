import json
import signal
import subprocess
import sys

import pytest

from model.core.decode import decode_events
from tests.harness.command import run_command
from tests.harness.waiting import eventually


def test_standard_output_carries_the_events_and_nothing_else():
    done = run_command("simulate", "--events", 500, "--users", 20, "--seed", 3)
    lines = done.stdout.encode().splitlines()
    batch, rejects = decode_events(lines)
    assert (done.status, len(lines), len(batch), rejects) == (0, 500, 500, [])


def test_a_file_holds_the_same_bytes_for_the_same_seed(tmp_path):
    for name in ("one", "two"):
        done = run_command("simulate", "--events", 500, "--users", 20, "--seed", 3, "--out", tmp_path / name, "--json")
        assert json.loads(done.stdout.splitlines()[-1])["events"] == 500
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_truth_is_written_on_request():
    done = run_command("simulate", "--events", 5, "--with-truth")
    assert all({"true_session", "true_1h", "true_24h"} <= json.loads(line).keys() for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "/nowhere/shop.jsonl"], "cannot be written"),
        (["--json"], "--json needs --out"),
        (["--events", "0"], "--events"),
        (["--users", "many"], "--users"),
        (["--items", "5"], "--items"),
        (["--catalogue", "/nowhere/items.jsonl", "--events", "5"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, words):
    done = run_command("simulate", *arguments)
    assert done.status == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_signal_leaves_no_half_of_a_file(tmp_path):
    command = [sys.executable, "-m", "cartcast", "simulate", "--events", "100000000", "--out", tmp_path / "shop"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            eventually(lambda: any(tmp_path.iterdir()), "a file")
            process.send_signal(signal.SIGTERM)
            _, error = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_catalogue_is_written_beside_the_events_of_shoppers_with_tastes(tmp_path):
    events, items = tmp_path / "events", tmp_path / "items"
    arguments = ["--events", 400, "--users", 20, "--items", 300, "--with-truth", "--out", events, "--catalogue", items]
    assert run_command("simulate", *arguments).status == 0
    item_ids = {json.loads(line)["item_id"] for line in items.read_text().splitlines()}
    assert len(item_ids) <= 300
    for line in events.read_text().splitlines():
        event = json.loads(line)
        assert event.get("item_id", "item-00000") in item_ids
        assert len(event["true_next_items"]) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "items"]
