import json
import subprocess
import sys

import msgspec
import pytest

from model.checkpoint import load_checkpoint
from model.simulator import SimulationSettings, simulate


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.jsonl"
    events = simulate(SimulationSettings(events=15_000, users=300, seed=4))
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events) + b"damaged\n")
    return path


def cartcast(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cartcast", "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_checkpoint_is_written_that_can_be_served(shop, tmp_path):
    out = tmp_path / "checkpoint"
    done = cartcast("--events", shop, "--format", "cartcast", "--out", out, "--epochs", 1, "--hidden-size", 8, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    checkpoint = load_checkpoint(out)
    assert result["version"] == checkpoint.version
    assert result["bad_rows"] == checkpoint.training["bad_rows"] == 1
    assert result["metrics"] == checkpoint.metrics
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_too_little_data_is_one_line_and_leaves_nothing(shop, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(shop.read_bytes().splitlines()[:50]))
    done = cartcast("--events", few, "--format", "cartcast", "--out", tmp_path / "checkpoint")
    assert done.returncode == 1
    assert "too little to learn from" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "checkpoint").exists()


def test_a_directory_of_something_else_is_refused_before_any_work(shop, tmp_path):
    (tmp_path / "thesis.tex").touch()
    done = cartcast("--events", shop, "--format", "cartcast", "--out", tmp_path)
    assert done.returncode == 2
    assert "is no checkpoint" in done.stderr
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (["--events", "missing.jsonl", "--format", "cartcast"], 1, "cannot be read"),
        (["--events", __file__, "--format", "cartcast"], 1, "does not look like format cartcast"),
        (["--events", __file__, "--format", "excel"], 2, "unknown"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(tmp_path, options, exit_code, words):
    done = cartcast(*options, "--out", tmp_path / "checkpoint")
    assert done.returncode == exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
