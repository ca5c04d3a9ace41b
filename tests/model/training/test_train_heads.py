"""Training with extra heads: what it adds, and that it changes nothing where there are none."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from model.arrays import Runs
from model.checkpoint import load_checkpoint, save_checkpoint
from model.core.features import NUMERIC_FEATURES, Features
from model.events import EVENT_TYPES
from model.heads import HEADS
from model.lstm import CategoryHead, LSTMConfig, Packing, PropensityLSTM
from model.simulator import SimulationSettings, simulate
from model.text import TOKENS
from model.training.extra_heads import UNKNOWN
from model.training.fitting import TrainingSettings, summed_cross_entropy
from model.training.history import read_history
from model.training.train import train
from service.errors import CheckpointError, TrainingError

PLAIN = LSTMConfig(hidden_size=8, category_buckets=64)
WITH_HEADS = LSTMConfig(hidden_size=8, category_buckets=64, heads=HEADS)
QUICK = TrainingSettings(epochs=3, batch_events=1024)


def ignore(_share, _words):
    pass


@pytest.fixture(autouse=True)
def _threads():
    """Training sets the number of threads of the process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=12_000, users=150, seed=4)))


@pytest.fixture(scope="module")
def trained(history):
    return train(history, QUICK, WITH_HEADS, ignore)


def test_the_test_part_says_how_often_each_head_is_right_beside_what_needs_no_model(trained):
    for part in (trained.metrics["test"], trained.metrics["test_unseen_users"]):
        assert list(part) == [*WITH_HEADS.horizons, "heads"]
        assert list(part["heads"]) == list(HEADS)
        for found in part["heads"].values():
            assert list(found) == ["events", "top1", "top5", "most_frequent_top1", "most_frequent_top5", "at_hand_top1"]
    heads = trained.metrics["test"]["heads"]
    assert heads["next_type"]["top1"] >= heads["next_type"]["most_frequent_top1"] - 0.01
    assert heads["purchase_category"]["top1"] > 2 * heads["purchase_category"]["most_frequent_top1"]
    assert heads["purchase_category"]["at_hand_top1"] > 2 * heads["purchase_category"]["most_frequent_top1"]
    assert all(found["top5"] >= found["top1"] for found in heads.values())


def test_no_head_leaves_metrics_and_names_as_they_were(history):
    plain = train(history, dataclasses.replace(QUICK, epochs=1), PLAIN, ignore)
    assert list(plain.metrics["test"]) == list(PLAIN.horizons)
    assert plain.category_names == {}
    assert not any(name.startswith("further") for name in plain.model.state_dict())


def test_without_weight_the_rest_learns_as_if_the_heads_were_not_there(history):
    once = dataclasses.replace(QUICK, epochs=1, input_dropout=0.0, output_dropout=0.0)  # both draw from one stream
    plain = train(history, once, PLAIN, ignore).model.state_dict()
    weightless = train(history, dataclasses.replace(once, further_weight=0.0), WITH_HEADS, ignore).model.state_dict()
    for name, weight in plain.items():
        torch.testing.assert_close(weightless[name], weight, rtol=1e-4, atol=1e-5)
    weighted = train(history, once, WITH_HEADS, ignore).model.state_dict()
    assert not torch.allclose(weighted["lstm.weight_hh_l0"], plain["lstm.weight_hh_l0"], atol=1e-4)


def test_a_checkpoint_keeps_the_heads_and_the_names_of_the_buckets(trained, tmp_path):
    version = save_checkpoint(
        tmp_path / "c",
        trained.model,
        calibration=trained.calibration,
        metrics=trained.metrics,
        training=trained.training,
        category_names=trained.category_names,
    )
    loaded = load_checkpoint(tmp_path / "c")
    assert (loaded.version, loaded.model.config, loaded.metrics) == (version, WITH_HEADS, trained.metrics)
    assert loaded.category_names == trained.category_names
    assert 10 < len(loaded.category_names) < WITH_HEADS.category_buckets
    for name, weight in trained.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight)
    assert "Extra heads" in (tmp_path / "c" / "card.md").read_text()
    (tmp_path / "c" / "categories.json").unlink()
    with pytest.raises(CheckpointError, match=r"categories\.json cannot be read"):
        load_checkpoint(tmp_path / "c")


def test_a_checkpoint_of_unknown_heads_is_refused_in_one_line(trained, tmp_path):
    save_checkpoint(tmp_path / "c", trained.model, calibration=trained.calibration, metrics={}, training={})
    description = tmp_path / "c" / "checkpoint.json"
    description.write_text(description.read_text().replace("next_type", "next_mood"))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "c")


def test_a_history_without_categories_cannot_train_their_head(history):
    bare = dataclasses.replace(history, categories=np.zeros_like(history.categories))
    with pytest.raises(TrainingError, match="--head purchase_category"):
        train(bare, QUICK, WITH_HEADS, ignore)


def test_a_network_with_heads_begins_with_the_weights_of_one_without():
    networks = []
    for config in (PLAIN, WITH_HEADS):
        torch.manual_seed(3)
        networks.append(PropensityLSTM(config).state_dict())
    plain, with_heads = networks
    assert all(torch.equal(with_heads[name], weight) for name, weight in plain.items())


def test_what_each_head_sees_is_the_state_and_the_numbers():
    torch.manual_seed(3)
    model, events = PropensityLSTM(WITH_HEADS).eval(), 3
    categories = np.array([0, 1, 130], np.int64)
    blank = np.zeros(events, np.int64)
    numeric = np.random.default_rng(1).normal(size=(events, len(NUMERIC_FEATURES))).astype(np.float32)
    features = Features(
        numeric, blank, categories, np.zeros((events, TOKENS), np.int64), np.empty((events, 0), np.int64)
    )
    packed = Packing.of(Runs.of(np.arange(events))).pack(features, torch.device("cpu"))
    output = torch.randn(events, WITH_HEADS.hidden_size)
    with torch.inference_mode():
        found = model.extra_logits(output, packed)
        seen = torch.cat((output, torch.from_numpy(numeric)), dim=1)
        types, category = model.further["next_type"], model.further["purchase_category"]
        assert isinstance(category, CategoryHead)
        torch.testing.assert_close(found["next_type"], seen @ types.weight.T + types.bias)
        expected = seen @ category.weight.T + category.bias
        again = seen @ category.again.weight.T + category.again.bias
        for row, bucket in ((1, 1), (2, 4)):  # 130 is bucket 4 of 64; an event without a category adds nothing
            expected[row, bucket] += again[row, 0]
        torch.testing.assert_close(found["purchase_category"], expected)


def test_the_loss_of_a_head_is_the_sum_over_its_known_answers():
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]]))
    loss = summed_cross_entropy(logits, torch.tensor([0, 1, UNKNOWN]))
    assert float(loss) == pytest.approx(-math.log(0.5) - math.log(0.75))
    assert float(summed_cross_entropy(logits, torch.full((3,), UNKNOWN))) == 0.0


def test_the_heads_have_a_class_for_each_answer(trained):
    assert trained.model.further["next_type"].out_features == len(EVENT_TYPES)
    assert trained.model.further["purchase_category"].out_features == WITH_HEADS.category_buckets
