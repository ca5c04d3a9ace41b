import numpy as np
import pytest
import torch

from model.arrays import Runs
from model.core.features import Features
from model.horizons import HORIZONS
from model.lstm import LSTMConfig, Packing, PropensityLSTM
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from model.text import TOKENS
from model.training.examples import Examples, hidden_users
from model.training.history import read_history
from model.training.ridge import SHARE, STRENGTHS, Ridge, Ridges
from model.training.split import TimeSplit

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def training_set():
    history = read_history(simulate(SimulationSettings(events=15_000, users=300, seed=4)))
    split = TimeSplit.of(history.applied_ms, DAY_MS)
    return Examples.of(history, split, hidden_users(history), HORIZONS).everything()


@pytest.fixture(scope="module")
def ridges(training_set):
    return Ridges.fit(training_set, seed=1)


def test_its_mean_probability_is_the_weighted_base_rate(training_set, ridges):
    """As of every logistic regression with an intercept: nothing is shifted by the weights' scale or the penalty."""
    history, known = training_set.history, training_set.known
    weights = training_set.user_weights()[history.users]
    for ridge in ridges.by_strength:
        found = 1 / (1 + np.exp(-ridge.logits(history.numeric, history.type_codes)))
        for horizon, of in enumerate(known.T):
            expected = np.average(training_set.bought[of, horizon], weights=weights[of])
            assert np.average(found[of, horizon], weights=weights[of]) == pytest.approx(expected, rel=1e-3)


def test_a_weaker_penalty_leaves_larger_weights(ridges):
    sizes = [np.abs(ridge.numbers).sum() for ridge in ridges.by_strength]
    assert sizes == sorted(sizes)
    assert len(sizes) == len(STRENGTHS)


def test_each_horizon_gets_the_strength_that_is_chosen_for_it(training_set, ridges):
    history, chosen = training_set.history, ridges.chosen([2, 0, 1])
    found = chosen.logits(history.numeric, history.type_codes)
    for horizon, number in enumerate([2, 0, 1]):
        alone = ridges.by_strength[number].logits(history.numeric, history.type_codes)
        np.testing.assert_array_equal(found[:, horizon], alone[:, horizon])


def test_the_best_strength_is_that_with_the_least_weighted_loss(training_set, ridges):
    history, known = training_set.history, training_set.known
    types, weights = history.type_codes.astype(np.int64), np.ones(len(history))
    best = ridges.best(history.numeric, types, training_set.bought, known, weights)
    assert best == [len(STRENGTHS) - 1] * len(HORIZONS)  # of the events that it was fitted on
    noise = np.random.default_rng(1).random(known.shape) < 0.1
    assert ridges.best(history.numeric, types, noise, known, weights) == [0] * len(HORIZONS)


def test_folded_in_it_makes_the_served_logit_the_mean_of_the_two(training_set, ridges):
    torch.manual_seed(1)
    model, history = PropensityLSTM(LSTMConfig(hidden_size=8)).eval(), training_set.history
    rows = np.arange(200)
    packing = Packing.of(Runs.of(history.users[rows]))
    packed = packing.pack(history.features(rows), torch.device("cpu"))
    blank = torch.zeros(len(packing.sequences), 8)

    @torch.inference_mode()
    def logits():
        found = np.empty((len(rows), len(HORIZONS)))
        found[packing.rows] = model(packed, (blank, blank))[0].numpy()
        return found

    alone, ridge = logits(), ridges.chosen([1, 1, 1])
    ridge.fold_into(model)
    linear = ridge.logits(history.numeric[rows], history.type_codes[rows])
    np.testing.assert_allclose(logits(), (1 - SHARE) * alone + SHARE * linear, atol=1e-4)


def test_folded_in_it_is_its_share_of_the_logits_whatever_the_scales_of_attributes():
    attributes = {"size": {"kind": "numeric"}, "brand": {"kind": "categorical"}, "total": {"kind": "numeric"}}
    shop = shop_of({"types": {"joined": "none"}, "attributes": attributes})
    random, config = np.random.default_rng(2), LSTMConfig(hidden_size=4, shop=shop)
    model, inputs, types = PropensityLSTM(config).eval(), len(config.numeric_inputs), len(shop.event_types)
    model.number_scales += torch.rand(2, 2)
    torch.nn.init.normal_(model.label_logits[0].weight)
    ridge = Ridge(random.normal(size=(inputs, 3)), random.normal(size=(types, 3)), random.normal(size=3))
    numeric = random.normal(size=(30, inputs)).astype(np.float32)
    numeric[:, -2:] = random.random((30, 2)) < 0.7  # known
    numeric[:, -4:-2] *= numeric[:, -2:]
    tokens, labels = np.zeros((30, TOKENS), np.int64), random.integers(1, 256, (30, 1))
    features = Features(numeric, random.integers(0, types, 30), random.integers(0, 99, 30), tokens, labels)
    packing = Packing.of(Runs.of(np.arange(30)))
    packed, output = packing.pack(features, torch.device("cpu")), torch.randn(30, 4)
    with torch.inference_mode():
        before = model.logits(output, packed)
        ridge.fold_into(model)
        after = model.logits(output, packed)
    expected = (1 - SHARE) * before.numpy() + SHARE * ridge.logits(numeric, features.types)[packing.rows]
    np.testing.assert_allclose(after.numpy(), expected, atol=1e-4)
