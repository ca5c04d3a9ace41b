"""Training of a shop with types and attributes of its own."""

import numpy as np
import pytest
import torch

from model.checkpoint import load_checkpoint, save_checkpoint
from model.events import Event
from model.lstm import LSTMConfig
from model.shop import NO_SHOP, shop_of
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.train import train

DAY_MS = 86_400_000
USERS = 100
QUICK = TrainingSettings(epochs=6, batch_events=512)
SHOP = shop_of(
    {
        "types": {"asked": "none", "looked": "none"},
        "attributes": {"plan": {"kind": "categorical"}, "score": {"kind": "numeric"}, "note": {"kind": "numeric"}},
    }
)


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module", autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def drawn(told_by: str) -> list[Event]:
    """Shoppers' events at random, of which one thing alone tells whether a purchase comes next."""
    random = np.random.default_rng(3)
    events, count = [], 8000
    times = np.sort(random.integers(0, 14 * DAY_MS, count)) + 1_700_000_000_000
    users = random.integers(USERS, size=count)
    buys = random.random(count) < 0.1
    following = np.zeros(count, np.bool_)  # whether the user's next event is a purchase
    for user in range(USERS):
        rows = np.flatnonzero(users == user)
        following[rows[:-1]] = buys[rows[1:]]
    for row in range(count):
        attributes: dict[str, str | float] = {"plan": "none", "score": 1.0}
        event_type = "purchase" if buys[row] else "looked"
        if told_by in attributes:
            attributes[told_by] = ("yes" if following[row] else "no") if told_by == "plan" else 900.0 * following[row]
        elif following[row] and not buys[row]:
            event_type = "asked"
        events.append(Event(f"e{row}", f"u{users[row]}", event_type, int(times[row]), attributes=attributes))
    return events


def trained_on(events, shop):
    config = LSTMConfig(hidden_size=8, category_buckets=16, horizons=("6h",), shop=shop)
    return train(read_history(events, shop=shop), QUICK, config, ignore)


@pytest.mark.parametrize("told_by", ["plan", "score", "asked"])
def test_what_only_an_attribute_or_a_type_tells_is_learnt(told_by):
    with_shop, without = (trained_on(drawn(told_by), shop).metrics["test"]["6h"]["roc_auc"] for shop in (SHOP, NO_SHOP))
    assert with_shop > without + 0.1


def test_a_checkpoint_brings_the_definition_and_the_scales_back(tmp_path):
    trained = trained_on(drawn("score"), SHOP)
    parts = {"calibration": trained.calibration, "metrics": trained.metrics, "training": trained.training}
    save_checkpoint(tmp_path / "shop", trained.model, earlier=trained.earlier, **parts)
    loaded = load_checkpoint(tmp_path / "shop")
    assert loaded.model.config.shop == SHOP
    scales = loaded.model.number_scales
    assert scales is not None
    assert torch.equal(scales, trained.model.number_scales)
    assert scales[1, 0] > 1  # of `score`; `note` is always unknown
    assert scales[:, 1].tolist() == [0.0, 1.0]
    assert "score" in (tmp_path / "shop" / "card.md").read_text()


def test_a_definition_changes_nothing_of_a_history_that_does_not_use_it():
    """But that there are more columns, all of them 0."""
    events = drawn("score")[:2000]
    plain, read = read_history(events), read_history(events, shop=shop_of({"attributes": {"x": {"kind": "numeric"}}}))
    np.testing.assert_array_equal(read.numeric[:, : plain.numeric.shape[1]], plain.numeric)
    assert not read.numeric[:, plain.numeric.shape[1] :].any()
