import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from model.arrays import Runs
from model.checkpoint import load_checkpoint, save_checkpoint
from model.core.features import NUMERIC_FEATURES, Features
from model.events import Event
from model.formats import read_events
from model.horizons import HORIZONS
from model.lstm import LSTMConfig, Packing, PropensityLSTM
from model.simulator import SimulationSettings, simulate
from model.text import TOKENS
from model.training.fitting import TrainingSettings, padded_outputs
from model.training.history import read_history
from model.training.predict import calibrated, predict_logits
from model.training.split import TimeSplit
from model.training.train import train
from service.errors import TrainingError

SMALL = LSTMConfig(hidden_size=8, item_buckets=16, category_buckets=16)
QUICK = TrainingSettings(epochs=4, batch_events=1024, refit=False)
TAOBAO = Path(__file__).parents[4] / "shared" / "data" / "taobao_ship.csv.gz"


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=30_000, users=300, seed=4)))


@pytest.fixture(scope="module")
def trained(history):
    return train(history, QUICK, SMALL, ignore)


@pytest.fixture(autouse=True)
def _threads():
    """Training sets the number of threads of the process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_training_learns_something(trained):
    for horizon, metrics in trained.metrics["test"].items():
        constant = -np.log(1 - metrics["base_rate"]) * (1 - metrics["base_rate"])
        constant -= np.log(metrics["base_rate"]) * metrics["base_rate"]
        assert metrics["log_loss"] < constant, horizon
        assert metrics["roc_auc"] > 0.55, horizon


def test_the_same_seed_gives_the_same_bytes(history, trained, tmp_path):
    again = train(history, QUICK, SMALL, ignore)
    for name, result in (("one", trained), ("two", again)):
        save_checkpoint(
            tmp_path / name,
            result.model,
            calibration=result.calibration,
            metrics=result.metrics,
            training=result.training,
        )
    for file in ("checkpoint.json", "weights.safetensors", "metrics.json", "card.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.fixture(scope="module")
def refitted(history):
    return train(history, dataclasses.replace(QUICK, refit=True), SMALL, ignore)


def test_a_refit_changes_the_weights_but_nothing_that_was_measured(trained, refitted):
    assert not torch.equal(refitted.model.heads.weight, trained.model.heads.weight)
    assert refitted.metrics == trained.metrics
    assert refitted.training["calibration"] == msgspec.structs.asdict(trained.calibration)
    assert refitted.training["thresholds"] == trained.training["thresholds"]


def test_a_refit_keeps_the_calibrations_slopes_but_not_its_level(trained, refitted):
    assert refitted.calibration.slopes == trained.calibration.slopes
    assert refitted.calibration.intercepts != trained.calibration.intercepts


def test_a_refit_learns_from_the_newest_events(history, refitted):
    split = TimeSplit.of(history.applied_ms, 86_400_000)
    late = (history.applied_ms >= split.test_from_ms)[:, None]
    changed = dataclasses.replace(history, numeric=np.where(late, 0, history.numeric).astype(np.float32))
    again = train(changed, dataclasses.replace(QUICK, refit=True), SMALL, ignore)
    assert not torch.equal(refitted.model.heads.weight, again.model.heads.weight)


def test_the_curves_say_how_each_epoch_went(trained):
    curves = trained.training["curves"]
    assert [point["epoch"] for point in curves] == list(range(1, trained.training["epochs"] + 1))
    assert all(0 < point["train_loss"] < 1 and 0 < point["validation_loss"] < 1 for point in curves)
    best = min(curves, key=lambda point: point["validation_loss"])
    assert best["epoch"] == trained.training["best_epoch"]


def test_another_seed_gives_another_model(history, trained):
    other = train(history, dataclasses.replace(QUICK, seed=2, epochs=1), SMALL, ignore)
    assert not torch.equal(other.model.heads.weight, trained.model.heads.weight)


def test_what_is_reported_is_what_the_saved_checkpoint_says(history, trained, tmp_path):
    save_checkpoint(
        tmp_path / "c",
        trained.model,
        calibration=trained.calibration,
        metrics=trained.metrics,
        training=trained.training,
    )
    loaded = load_checkpoint(tmp_path / "c")
    rows = np.arange(len(history))
    np.testing.assert_array_equal(
        predict_logits(loaded.model, history, rows), predict_logits(trained.model, history, rows)
    )
    assert loaded.metrics["test"].keys() == set(HORIZONS)


def test_progress_goes_from_start_to_end(history):
    seen = []
    train(history, dataclasses.replace(QUICK, epochs=1), SMALL, lambda share, _words: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_too_few_purchases_are_refused_and_the_message_says_how_many_are_needed(history):
    def quiet(kept):
        return dataclasses.replace(history, type_codes=np.where(kept, history.type_codes, np.uint8(0)))

    for kept in (np.zeros(len(history), np.bool_), np.arange(len(history)) < 500):
        with pytest.raises(TrainingError, match="at least 100"):
            train(quiet(kept), QUICK, SMALL, ignore)


def test_one_user_is_refused_however_much_there_is():
    events = [Event(f"{n}", "u", ("view", "purchase")[n % 2], 1_500_000_000_000 + n * 3_600_000) for n in range(2000)]
    for many in (1, 2000):
        with pytest.raises(TrainingError, match="one user"):
            train(read_history(events[:many]), QUICK, SMALL, ignore)


def test_a_history_too_short_for_its_horizons_is_refused_and_told_how_long_it_should_be(history):
    with pytest.raises(TrainingError, match="want 180 or more"):
        train(history, QUICK, LSTMConfig(hidden_size=8, horizons=("session", "30d")), ignore)


def test_any_horizons_can_be_learnt(history):
    config = LSTMConfig(hidden_size=8, horizons=("30m", "session", "3d"))
    trained = train(history, dataclasses.replace(QUICK, epochs=1), config, ignore)
    assert list(trained.metrics["test"]) == ["30m", "session", "3d"]
    assert trained.training["purge_gap_hours"] == 72


def test_the_padded_run_is_the_packed_run():
    random = np.random.default_rng(1)
    users = np.sort(random.integers(0, 9, 60))
    features = Features(
        random.normal(size=(60, len(NUMERIC_FEATURES))).astype(np.float32),
        random.integers(0, 10, 60),
        random.integers(0, 60_000, 60),
        random.integers(0, 60_000, 60),
        random.integers(0, 60_000, (60, TOKENS)),
    )
    runs = Runs.of(users)
    packing = Packing.of(runs)
    model, packed = PropensityLSTM(SMALL), packing.pack(features, torch.device("cpu"))
    carried = torch.randn(len(runs.users), 8), torch.randn(len(runs.users), 8)
    expected, (h, c) = model.outputs(packed, carried)
    found, (h_padded, c_padded) = padded_outputs(model, packed, carried)
    torch.testing.assert_close(found, expected)
    longest = runs.lengths[packing.sequences] == runs.longest
    torch.testing.assert_close(h_padded[longest], h[longest])
    torch.testing.assert_close(c_padded[longest], c[longest])


def test_calibrated_probabilities_lie_between_zero_and_one(history, trained):
    propensities = calibrated(predict_logits(trained.model, history, np.arange(500)), trained.calibration)
    assert ((propensities > 0) & (propensities < 1)).all()


@pytest.mark.skipif(not TAOBAO.exists(), reason="the real data is not part of the repository")
def test_real_shoppers_can_be_learnt_from():
    history = read_history(read_events(TAOBAO, "taobao"))
    trained = train(history, TrainingSettings(epochs=3), LSTMConfig(hidden_size=16), ignore)
    assert trained.metrics["test"]["session"]["roc_auc"] > 0.53
