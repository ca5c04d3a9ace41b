"""Training with a shop's own goals and money: what is learnt, refused and kept."""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from model.arrays import Runs
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.inference import InferenceRequest, Scorer
from model.lstm import LSTMConfig
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from model.training.chunks import Spans
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.predict import expected_values, predict_logits
from model.training.train import train
from service.errors import TrainingError

DEFINITION = {
    "goals": {
        "cart_soon": {"event": "cart", "within": "1h"},
        "far_away": {"event": "cart", "within": "40d"},
        "never": {"event": "refund", "within": "1h", "where": {"price": {"at_least": 1e9}}},
    },
    "money": {"within": "2h", "currency": "EUR"},
}
SHOP = shop_of(DEFINITION)
CONFIG = LSTMConfig(hidden_size=8, category_buckets=64, horizons=("session", "1h", *SHOP.goals), shop=SHOP)
QUICK = TrainingSettings(epochs=2, batch_events=1024, auxiliary_from_events=10**9)


def ignore(_share, _words):
    pass


@pytest.fixture(autouse=True)
def _threads():
    """Training sets the number of threads of the process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def events():
    return list(simulate(SimulationSettings(events=20_000, users=300, seed=4)))


@pytest.fixture(scope="module")
def history(events):
    return read_history(events, shop=SHOP)


@pytest.fixture(scope="module")
def trained(history):
    return train(history, QUICK, CONFIG, ignore)


def test_a_goal_is_a_column_like_any_horizon_and_money_brings_the_horizon_that_it_needs(trained):
    horizons = ("session", "1h", "2h", "cart_soon")
    assert trained.model.config.horizons == horizons
    for part in ("validation", "test", "test_unseen_users"):
        assert tuple(trained.metrics[part]) == horizons
    assert set(trained.metrics["verdicts"]) == {*horizons, "total"}
    assert tuple(trained.training["thresholds"]) == horizons
    assert trained.metrics["test"]["cart_soon"]["base_rate"] > trained.metrics["test"]["1h"]["base_rate"]


def test_a_goal_that_the_history_cannot_teach_is_left_out_by_itself_with_the_reason(trained):
    refused = trained.training["refused_horizons"]
    assert set(refused) == {"far_away", "never"}
    assert "wants 240 or more" in refused["far_away"]
    assert "no event at all meets goal never" in refused["never"]


def test_expected_values_are_measured_on_both_folds_beside_simpler_models(trained):
    money = trained.metrics["money"]
    assert set(money) == {"validation", "test", "test_unseen_users", "chain"}
    assert set(money["chain"]["models"]) == {"cartcast", "propensity_times_value", "constant"}
    assert money["chain"]["events"] == money["validation"]["events"] + money["test"]["events"]
    assert len(money["chain"]["deciles"]) == 10
    assert money["chain"]["models"]["cartcast"]["gain_10_percent"] > 0.15  # a tenth of the events, chosen at random: .1


def test_money_and_goals_leave_the_rest_as_it_would_be(events):
    alone = LSTMConfig(hidden_size=8, category_buckets=64, horizons=("session", "1h", "2h"))
    goals_gone = shop_of({"money": DEFINITION["money"]})
    plain = train(read_history(events), QUICK, alone, ignore)
    with_money = train(read_history(events, shop=goals_gone), QUICK, alone, ignore)
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(with_money.model.state_dict()[name], weight), name
    assert "money" not in plain.metrics
    assert plain.model.order_value is None


def test_a_history_without_prices_leaves_money_out_with_the_reason(events):
    priceless = [msgspec.structs.replace(event, price=None) for event in events]
    found = train(read_history(priceless, shop=SHOP), dataclasses.replace(QUICK, epochs=1), CONFIG, ignore)
    assert "0 of" in found.training["refused_horizons"]["expected_value"]
    assert "give purchases a price" in found.training["refused_horizons"]["expected_value"]
    assert found.model.config.shop.money is None
    assert "money" not in found.metrics


def test_what_is_refused_for_one_reason_is_said_once(events):
    shop = shop_of({"money": {"within": "40d"}})
    with pytest.raises(TrainingError) as refusal:
        train(read_history(events, shop=shop), QUICK, LSTMConfig(horizons=("30d",), shop=shop), ignore)
    assert str(refusal.value).count("horizon 40d wants") == 1


def test_a_checkpoint_keeps_the_definition_and_what_it_expects(trained, tmp_path):
    save_checkpoint(
        tmp_path / "c",
        trained.model,
        calibration=trained.calibration,
        metrics=trained.metrics,
        training=trained.training,
        earlier=trained.earlier,
    )
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.model.config == trained.model.config
    assert loaded.model.config.shop == SHOP
    assert [name for name, _ in loaded.head_names.fields] == ["expected_value"]
    card = (tmp_path / "c" / "card.md").read_text()
    assert "`cart_soon`: cart, within 1 hour" in card
    assert "expected value of purchases: EUR within 2 hours" in card
    assert "Expected value, validation and test together" in card


def test_live_and_offline_expect_what_training_measured(trained, history):
    """The propensity to buy within the time, times a value that is near the mean."""
    checkpoint = as_checkpoint(trained)
    rows = np.arange(history.starts[20])
    features = history.features(rows)
    users = history.users[rows]
    carried = np.zeros((len(Runs.of(users).users), checkpoint.model.config.carried_floats), np.float16)
    result = Scorer(checkpoint, torch.device("cpu")).score(InferenceRequest(features, users, carried))
    spans = Spans(history.starts[:20], np.diff(history.starts[:21]))
    ((_, values),) = expected_values(trained.model, history, spans)
    np.testing.assert_allclose(result.extra["expected_value"], values, rtol=0.02)
    probabilities = 1 / (1 + np.exp(-predict_logits(trained.model, history, rows)[:, 2]))
    worth = values / probabilities
    mean = trained.model.order_value.log_mean.exp().item()
    assert (worth > mean / 21).all()
    assert (worth < mean * 21).all()


def as_checkpoint(trained):
    return Checkpoint("v", trained.model.eval(), trained.calibration, metrics={}, training={})
