"""Level correction: what is shifted, by how much, and what is done about files that are not in order."""

import msgspec
import numpy as np
import pytest

from model.checkpoint import load_checkpoint, save_checkpoint
from model.horizons import HORIZONS
from model.level import (
    CANDIDATE_SHIFTS,
    LARGEST_SHIFT,
    LEVEL_FILE,
    SHIFT_FIELDS,
    USUAL_SHIFT,
    Level,
    LevelFile,
    Levels,
    Outcomes,
    next_level,
    read_levels,
    shifted_propensities,
    write_level_file,
)
from model.propensities import log_odds
from service.errors import CheckpointError

HOUR_MS = 3_600_000
LEVELS = Levels.of(
    [Level(HOUR_MS, {"1h": 0.25, "24h": -0.5}), Level(2 * HOUR_MS, {"session": 0.01})], HORIZONS
)  # fmt: skip


def outcomes(shift: float, *, scores: int = 40_000, shoppers: int = 4_000, seed: int = 1) -> Outcomes:
    """Return what comes of scores whose true log-odds are `shift` above what the model says."""
    random = np.random.default_rng(seed)
    logits = random.normal(-2.5, 1.0, scores)
    bought = random.random(scores) < 1 / (1 + np.exp(-(logits + shift)))
    return Outcomes.of(logits, bought, random.integers(shoppers, size=scores))


def test_a_level_holds_for_events_that_happen_from_its_beginning_to_the_next():
    times_ms = np.array([0, HOUR_MS - 1, HOUR_MS, 2 * HOUR_MS - 1, 2 * HOUR_MS, 99 * HOUR_MS])
    first, second = [0.0, 0.25, -0.5], [0.01, 0.0, 0.0]
    expected = [[0.0] * 3] * 2 + [first] * 2 + [second] * 2
    assert LEVELS.at(times_ms) == pytest.approx(np.array(expected, np.float32))
    assert LEVELS.fields(times_ms)["shift_24h"] == [0.0, 0.0, -0.5, -0.5, 0.0, 0.0]


def test_a_shift_moves_log_odds_and_no_shift_moves_no_bit():
    propensities = np.array([[1e-4, 0.07, 0.93], [0.5, 0.25, np.nan]], np.float32)
    shifts = np.array([[0.5, -0.25, 0.0], [0.0, 0.01, 0.5]], np.float32)
    shifted = shifted_propensities(propensities, shifts)
    assert log_odds(shifted) == pytest.approx(log_odds(propensities) + shifts, abs=1e-5, nan_ok=True)
    assert shifted[shifts == 0].tobytes() == propensities[shifts == 0].tobytes()


def test_only_standard_horizons_are_named_in_scores():
    levels = Levels.of([Level(0, {"1h": 0.1})], ("7d", "1h"))
    assert levels.fields(np.array([5])) == {"shift_1h": [0.1]}
    assert Levels.of([], HORIZONS).fields(np.array([5])) == {}
    assert SHIFT_FIELDS == ("shift_session", "shift_1h", "shift_24h")


@pytest.mark.parametrize("shift", [-0.3, -0.1, 0.2, 0.4])
def test_the_shift_of_many_scores_is_the_true_one(shift):
    assert outcomes(shift).shift == pytest.approx(shift, abs=0.06)


@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_no_shift_is_larger_than_the_bound(shift):
    found = outcomes(shift, scores=400_000, shoppers=400_000)
    assert abs(found.shift) <= LARGEST_SHIFT
    assert found.shift == pytest.approx(np.sign(shift) * LARGEST_SHIFT, abs=0.01)


def test_the_standard_error_is_what_shifts_of_other_shoppers_differ_by():
    drawn = [outcomes(0.0, scores=4_000, shoppers=400, seed=seed) for seed in range(60)]
    fitting = [one.fitting_shift for one in drawn]
    assert np.mean([one.standard_error for one in drawn]) == pytest.approx(np.std(fitting), rel=0.25)


def test_scores_of_one_shopper_weigh_less_than_those_of_many():
    random = np.random.default_rng(2)
    logits, bought = np.repeat(random.normal(-2, 1, 200), 20), np.repeat(random.random(200) < 0.2, 20)
    alike, apart = (Outcomes.of(logits, bought, shoppers) for shoppers in (np.arange(4000) // 20, np.arange(4000)))
    assert alike.standard_error > 3 * apart.standard_error
    assert abs(alike.shift) < abs(apart.shift)


def test_few_scores_shift_little_and_none_shift_nothing():
    few = outcomes(0.4, scores=60, shoppers=60)
    assert few.standard_error > USUAL_SHIFT
    assert abs(few.shift) < 0.2
    nothing = Outcomes(0, 0.0, np.zeros(len(CANDIDATE_SHIFTS)), 0.0)
    assert nothing.shift == 0.0
    assert not nothing.is_enough


def test_a_level_is_added_only_where_shifts_change():
    found = {"1h": outcomes(0.3)}
    first = next_level(LevelFile("m", ()), found, 1000)
    assert [level.from_ms for level in first.levels] == [1000]
    assert next_level(first, found, 2000) == first
    other = {"1h": outcomes(-0.3)}
    second = next_level(first, other, 2000)
    assert [level.from_ms for level in second.levels] == [1000, 2000]
    assert next_level(second, found, 1500).levels == first.levels  # what had not begun is taken back
    assert next_level(LevelFile("m", ()), {"1h": outcomes(0.0, scores=0)}, 1000).levels == ()


def test_levels_are_read_with_the_checkpoint_that_they_are_of(checkpoint, tmp_path):
    parts = {"calibration": checkpoint.calibration, "metrics": {}, "training": {}}
    version = save_checkpoint(tmp_path / "c", checkpoint.model, **parts)
    assert not load_checkpoint(tmp_path / "c").levels
    write_level_file(tmp_path / "c", LevelFile(version, (Level(HOUR_MS, {"1h": 0.25}),)))
    levels = load_checkpoint(tmp_path / "c").levels
    assert levels.at(np.array([HOUR_MS]))[0].tolist() == [0.0, 0.25, 0.0]
    save_checkpoint(tmp_path / "c", checkpoint.model, **parts)
    assert not load_checkpoint(tmp_path / "c").levels
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"{", "is damaged"),
        (b'{"model": "m", "levels": [{"from_ms": 5, "shifts": {"1h": 0.6}}]}', "is damaged"),
        (b'{"model": "m", "levels": [{"from_ms": -5, "shifts": {}}]}', "is damaged"),
        (msgspec.json.encode(LevelFile("m", (Level(6, {}), Level(5, {})))), "not in order"),
        (msgspec.json.encode(LevelFile("other", ())), "of model other, not of m"),
    ],
)
def test_a_file_that_is_not_in_order_is_one_line(tmp_path, written, said):
    (tmp_path / LEVEL_FILE).write_bytes(written)
    with pytest.raises(CheckpointError, match=said) as refused:
        read_levels(tmp_path, "m", HORIZONS)
    assert "\n" not in str(refused.value)
    assert "delete it" in str(refused.value)


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"level\.json cannot be written: No such file or directory"):
        write_level_file(tmp_path / "missing", LevelFile("m", ()))


def test_no_shift_leaves_the_bits():
    given = np.random.default_rng(1).random(10_000, np.float32)
    assert shifted_propensities(given, np.zeros_like(given)).tobytes() == given.tobytes()
