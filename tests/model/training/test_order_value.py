import math

import numpy as np
import pytest
import torch

from model.core.features import NUMERIC_FEATURES
from model.lstm import OrderValue, PackedFeatures
from model.training.order_value import PENALTIES, OrderValues, _fit


def inputs_of(numeric, types):
    blank = torch.zeros(len(types), dtype=torch.int64)
    return PackedFeatures(
        numeric=torch.from_numpy(numeric.astype(np.float32)),
        types=torch.from_numpy(types),
        categories=blank,
        tokens=blank,
        labels=blank[:, None],
        batch_sizes=torch.tensor([len(types)]),
    )


def test_a_regression_finds_the_mean_of_a_heavy_tailed_value():
    """Whatever the distribution: here most orders are far below the mean."""
    random = np.random.default_rng(1)
    inputs = random.normal(size=(60_000, 2))
    mean = np.exp(0.5 * inputs[:, 0])
    values = mean * random.lognormal(-0.5, 1.0, len(mean))  # the median is .6 of the mean
    slopes, bias = _fit(inputs, values, np.ones(len(values)), 1e-6)
    assert slopes == pytest.approx([0.5, 0.0], abs=0.05)
    assert bias == pytest.approx(0.0, abs=0.05)


def test_an_infinite_penalty_leaves_the_mean():
    slopes, bias = _fit(np.ones((5, 3)), np.ones(5), np.ones(5), math.inf)
    assert (slopes.tolist(), bias) == ([0.0, 0.0, 0.0], 0.0)
    assert PENALTIES[0] == math.inf


def test_what_is_served_is_the_regression_within_a_factor_of_twenty_of_the_mean():
    features, types = len(NUMERIC_FEATURES), 3
    weights = np.zeros((2, features + types))
    weights[1, 0], weights[1, features + 2] = 2.0, 0.5
    order_value = OrderValue(features, types)
    OrderValues(weights, np.array([0.0, 0.1]), mean=40.0).put_into(order_value, 1)
    numeric = np.zeros((3, features))
    numeric[:, 0] = 0.0, 0.25, 90.0
    found = order_value(inputs_of(numeric, np.array([0, 2, 0]))).numpy()
    assert found == pytest.approx([40 * math.exp(0.1), 40 * math.exp(0.5 + 0.5 + 0.1), 40 * math.exp(3)], rel=1e-4)
