import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from model.arrays import Runs
from model.checkpoint import load_checkpoint, save_checkpoint
from model.core.features import NUMERIC_FEATURES, Features
from model.events import Event
from model.formats import read_events
from model.horizons import HORIZONS
from model.lstm import LSTMConfig, Packing, PropensityLSTM
from model.simulator import SimulationSettings, simulate
from model.text import TOKENS
from model.training.chunks import Spans
from model.training.examples import Examples, TrainingSet, hidden_users
from model.training.fitting import TrainingSettings, padded_outputs
from model.training.history import read_history
from model.training.predict import calibrated, predict_logits
from model.training.split import TimeSplit
from model.training.train import train
from service.errors import TrainingError

SMALL = LSTMConfig(hidden_size=8, category_buckets=16)
QUICK = TrainingSettings(epochs=4, batch_events=1024)
DAY_MS = 86_400_000
TAOBAO = Path(__file__).parents[4] / "shared" / "data" / "taobao_ship.csv.gz"


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=12_000, users=150, seed=4)))


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


def test_what_is_served_learns_from_the_newest_events_and_what_is_measured_does_not(history, trained):
    split = TimeSplit.of(history.applied_ms, DAY_MS)
    late = (history.applied_ms >= split.test_from_ms)[:, None]
    changed = dataclasses.replace(history, numeric=np.where(late, 0, history.numeric).astype(np.float32))
    again = train(changed, QUICK, SMALL, ignore)
    assert not torch.equal(trained.model.heads.weight, again.model.heads.weight)
    assert torch.equal(trained.earlier.heads.weight, again.earlier.heads.weight)


def test_what_is_known_of_categories_is_frozen_as_of_the_last_event_learnt_from(history, trained):
    everything = Spans(history.starts[:-1], np.diff(history.starts))
    np.testing.assert_array_equal(trained.model.category_rates.numpy(), history.category_rates(everything))
    assert not torch.equal(trained.model.category_rates, trained.earlier.category_rates)


def test_the_curve_says_how_each_epoch_went(trained):
    curves = trained.training["curves"]
    assert [point["epoch"] for point in curves] == [1, 2, 3, 4]
    assert curves[-1]["train_loss"] < curves[0]["train_loss"] < 1


def test_the_chain_compares_the_recipe_with_a_linear_model_and_a_constant(trained):
    for group in ("chain", "chain_unseen_users"):
        found = trained.metrics[group]
        assert list(found["models"]) == ["cartcast", "ridge", "base_rate"]
        for horizon in HORIZONS:
            assert found["counts"][horizon]["events"] > 100
            assert found["models"]["cartcast"][horizon]["log_loss"] < found["models"]["base_rate"][horizon]["log_loss"]
    parts = [trained.metrics[part]["1h"]["events"] for part in ("validation", "test")]
    assert trained.metrics["chain"]["counts"]["1h"]["events"] == sum(parts)
    assert set(trained.metrics["verdicts"].values()) <= {"better", "worse", "no different"}


def test_heavy_shoppers_count_less_an_event_and_all_events_one_on_average(history):
    training_set = Examples.of(
        history, TimeSplit.of(history.applied_ms, DAY_MS), hidden_users(history), HORIZONS
    ).everything()
    weights, lengths = training_set.user_weights(), np.diff(history.starts)
    assert weights[history.users].mean() == pytest.approx(1)
    np.testing.assert_allclose(weights * np.sqrt(lengths), weights[0] * np.sqrt(lengths[0]))


def test_the_loss_heeds_the_weights_of_users(history, monkeypatch):
    once, ones = dataclasses.replace(QUICK, epochs=1), np.ones(len(history.user_ids))
    weighted = train(history, once, SMALL, ignore).model
    monkeypatch.setattr(TrainingSet, "user_weights", lambda _: ones)
    unweighted = train(history, once, SMALL, ignore).model
    assert not torch.equal(unweighted.lstm.weight_hh_l0, weighted.lstm.weight_hh_l0)


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


def test_numpy_takes_no_more_threads_than_training_may(history):
    nothing_bought = dataclasses.replace(history, type_codes=np.zeros_like(history.type_codes))
    with threadpool_limits(2):
        with pytest.raises(TrainingError):
            train(nothing_bought, dataclasses.replace(QUICK, threads=1), SMALL, ignore)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}


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


def test_a_horizon_that_the_history_is_too_short_for_is_left_out_and_told_how_long_it_should_be(history):
    quick = dataclasses.replace(QUICK, epochs=1)
    config = msgspec.structs.replace(SMALL, horizons=("session", "30d", "1h"))
    trained = train(history, quick, config, ignore)
    assert trained.model.config.horizons == ("session", "1h")
    assert "wants 180 or more" in trained.training["refused_horizons"].pop("30d")
    assert not trained.training["refused_horizons"]
    alone = train(history, quick, msgspec.structs.replace(SMALL, horizons=("session", "1h")), ignore)
    assert alone.metrics == trained.metrics
    with pytest.raises(TrainingError, match="wants 180 or more"):
        train(history, QUICK, msgspec.structs.replace(SMALL, horizons=("30d",)), ignore)


def test_training_begins_with_the_weights_it_is_given(history, trained):
    once = dataclasses.replace(QUICK, epochs=1)
    warm, cold = (train(history, once, SMALL, ignore, start=start) for start in (trained.model, None))
    assert warm.training["warm_start"]
    assert not cold.training["warm_start"]
    assert warm.training["curves"][0]["train_loss"] < cold.training["curves"][0]["train_loss"]


def test_weights_of_another_size_are_not_begun_with(history, trained):
    once = dataclasses.replace(QUICK, epochs=1)
    other = train(history, once, msgspec.structs.replace(SMALL, hidden_size=9), ignore, start=trained.model)
    assert not other.training["warm_start"]


def test_any_horizons_can_be_learnt(history):
    config = msgspec.structs.replace(SMALL, horizons=("30m", "session", "3d"))
    trained = train(history, dataclasses.replace(QUICK, epochs=1), config, ignore)
    assert list(trained.metrics["test"]) == ["30m", "session", "3d"]


def test_the_padded_run_is_the_packed_run():
    random = np.random.default_rng(1)
    users = np.sort(random.integers(0, 9, 60))
    features = Features(
        random.normal(size=(60, len(NUMERIC_FEATURES))).astype(np.float32),
        random.integers(0, 10, 60),
        random.integers(0, 60_000, 60),
        random.integers(0, 60_000, (60, TOKENS)),
        np.empty((60, 0), np.int64),
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
