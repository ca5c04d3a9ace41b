"""`cartcast level` on scores that the real engine holds: what it sums up, and what it writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpoint import Calibration, load_checkpoint, save_checkpoint
from model.events import rfc3339
from model.horizons import DAY_MS, HORIZONS
from model.level import LEVEL_FILE, Level, LevelFile, Outcomes, write_level_file
from model.lstm import LSTMConfig, PropensityLSTM
from model.propensities import log_odds
from service.clickhouse_settings import ClickHouseSettings
from sinks import level
from tests.harness.command import Ended, run_command
from tests.harness.stored_scores import HOUR_MS, START_MS, Stored, random_rows

pytestmark = pytest.mark.integration

UNTIL_MS = START_MS + 58 * HOUR_MS
SHIFTS = {"session": 0.25, "1h": -0.25, "24h": 0.5}


@pytest.fixture
def stored(database: ClickHouseSettings) -> Stored:
    """Scores of two models, some of which say that they are shifted."""
    stored = Stored(database)
    rows = random_rows(3, 4000, users=150)
    shifted = {f"shift_{horizon}": shift for horizon, shift in SHIFTS.items()}
    stored.add([row | (shifted if number % 3 else {}) for number, row in enumerate(rows)])
    return stored


def expected(stored: Stored, model: str) -> dict[str, Outcomes]:
    """Sum up what the rows say, without ClickHouse."""
    labels, end_ms = stored.labels()
    users = np.unique(stored.column("user_id"), return_inverse=True)[1]
    time_ms, found = stored.column("event_time").astype(np.int64), {}
    for number, (horizon, settled_ms) in enumerate(level.SETTLED_MS.items()):
        values, until_ms = stored.propensities(horizon), UNTIL_MS - settled_ms
        shifts = np.array([row.get(f"shift_{horizon}", 0.0) for row in stored.rows])
        counts = (stored.column("model") == model) & np.isfinite(values) & labels.known_by(end_ms)[:, number]
        counts &= (time_ms >= until_ms - DAY_MS) & (time_ms < until_ms)
        logits = log_odds(values[counts]) - shifts[counts]
        found[horizon] = Outcomes.of(logits, labels.bought[counts, number], users[counts])
    return found


@pytest.mark.parametrize("model", ["m1", "m2"])
def test_outcomes_are_summed_as_in_python_without_the_shifts_that_scores_had(stored, model):
    found = level.outcomes(stored.settings, model, UNTIL_MS)
    wanted = expected(stored, model)
    assert found.keys() == wanted.keys()
    for horizon, one in wanted.items():
        assert (found[horizon].scores, found[horizon].purchases) == (one.scores, one.purchases)
        assert found[horizon].expected == pytest.approx(one.expected, rel=1e-5)
        assert found[horizon].error == pytest.approx(one.error, rel=1e-5)
        assert found[horizon].shift == one.shift
    assert found["1h"].scores > 500


def test_of_many_scores_those_of_some_shoppers_are_summed(stored, monkeypatch):
    every = level.outcomes(stored.settings, "m1", UNTIL_MS)["1h"]
    monkeypatch.setattr(level, "_MOST_SCORES", 500)
    some = level.outcomes(stored.settings, "m1", UNTIL_MS)["1h"]
    assert 0 < some.scores < every.scores


def test_a_model_without_scores_is_shifted_by_nothing(stored):
    found = level.outcomes(stored.settings, "m3", UNTIL_MS)
    assert [(one.scores, one.shift) for one in found.values()] == [(0, 0.0)] * 3


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    parts: dict[str, Any] = {"calibration": Calibration.identity(len(HORIZONS)), "metrics": {}, "training": {}}
    save_checkpoint(tmp_path / "shop", PropensityLSTM(LSTMConfig(hidden_size=8)), **parts)
    return tmp_path / "shop"


def run(stored: Stored, directory: Path, *options: object) -> Ended:
    config = directory.with_name("cartcast.yaml")
    config.write_text(f"clickhouse:\n  url: {stored.settings.url}\n  database: {stored.settings.database}\n")
    return run_command("--config", config, "level", "--checkpoint", directory, *options)


def test_what_came_of_the_scores_is_written_for_later_events_and_said(database, directory):
    stored, version = Stored(database), load_checkpoint(directory).version
    stored.add([row | {"model": version} for row in random_rows(3, 4000, users=150)])
    options = ("--until", rfc3339(UNTIL_MS), "--json")
    dry = run(stored, directory, *options, "--dry-run")
    assert dry.status == 0, dry.stderr
    assert (json.loads(dry.stdout)["written"], (directory / LEVEL_FILE).exists()) == (False, False)

    told = json.loads(run(stored, directory, *options).stdout)
    shifts = {horizon: each["shift"] for horizon, each in told["outcomes"].items()}
    assert (told["written"], told["shifts"]) == (True, shifts)
    assert any(shifts.values())
    levels = load_checkpoint(directory).levels
    assert levels.at(np.array([told["from_ms"] - 1, told["from_ms"]])).tolist() == pytest.approx(
        np.array([[0.0] * 3, [*shifts.values()]], np.float32)
    )

    before = (directory / LEVEL_FILE).read_bytes()
    again = run(stored, directory, "--until", rfc3339(UNTIL_MS))
    assert again.stdout.splitlines()[-1].startswith("nothing was written")
    assert f"expected: shift {shifts['1h']:+.2f}" in again.stdout
    assert (directory / LEVEL_FILE).read_bytes() == before


def test_what_a_level_does_not_shift_is_named(database, tmp_path):
    parts: dict[str, Any] = {"calibration": Calibration.identity(2), "metrics": {}, "training": {}}
    save_checkpoint(tmp_path / "shop", PropensityLSTM(LSTMConfig(hidden_size=8, horizons=("1h", "7d"))), **parts)
    said = run(Stored(database), tmp_path / "shop").stdout.splitlines()
    assert [line.partition(":")[0] for line in said[:-1]] == ["1h", "7d"]
    assert said[1] == "7d: not shifted; session, 1h and 24h alone can be"


def test_a_level_of_another_model_is_one_line_and_stays(stored, directory):
    write_level_file(directory, LevelFile("another", (Level(5, {"1h": 0.1}),)))
    refused = run(stored, directory)
    assert (refused.status, len(refused.stderr.splitlines())) == (1, 1)
    assert "is of model another" in refused.stderr


def test_without_a_checkpoint_it_says_so(database, tmp_path):
    missing = run(Stored(database), tmp_path / "missing")
    assert (missing.status, len(missing.stderr.splitlines())) == (1, 1)
    assert "cannot be read" in missing.stderr
    assert not (tmp_path / "missing").exists()
