import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.arrays import Runs
from model.core import lstm_step
from model.core.lstm_step import StepWeights, run_steps
from tests.model.reference_lstm import (
    assert_rounded_to_half,
    network,
    random_features,
    rows_of,
    sigmoid,
    slow_reference,
)

SLOPES, INTERCEPTS = np.array([1.0, 0.8, 1.3]), np.array([0.0, -0.4, 0.2])


def weights_of(model) -> StepWeights:
    return StepWeights.of(model, SLOPES, INTERCEPTS)


def carried(states: int, hidden_size: int):
    return (np.random.default_rng(9).normal(size=(states, 2 * hidden_size)) * 0.5).astype(np.float16)


def compare_with_the_equations(hidden_size: int, users) -> None:
    """Each event from what was carried to it: a number between two halves may be rounded either way."""
    model, features = network(hidden_size), random_features(len(users))
    weights, states = weights_of(model), carried(4, hidden_size)
    for row, user in enumerate(users):
        before = states.copy()
        propensities, outputs = run_steps(weights, rows_of(features, [row]), np.array([user]), states)
        h, c = np.split(before[user].astype(np.float64), 2)
        logits, h, c = slow_reference(model, features, [row], h, c)
        np.testing.assert_allclose(propensities, sigmoid(np.array(logits) * SLOPES + INTERCEPTS), atol=1e-5)
        np.testing.assert_allclose(outputs, [h], atol=1e-5)
        assert_rounded_to_half(states[user], np.concatenate([h, c]))
        others = [other for other in range(4) if other != user]
        np.testing.assert_array_equal(states[others], before[others])


@pytest.mark.parametrize("hidden_size", [1, 5, 64])
@pytest.mark.parametrize("users", [[0], [2, 2, 2], [0, 1, 0, 3, 1, 1], [3, 2, 1, 0, 3, 2, 1, 0]])
def test_the_step_equals_the_equations_written_out(hidden_size, users):
    compare_with_the_equations(hidden_size, users)


def test_the_uncompiled_step_does_the_same(monkeypatch):
    monkeypatch.setattr(lstm_step, "step_in_order", lstm_step.step_in_order.py_func)
    compare_with_the_equations(5, [0, 1, 0, 3, 1, 1])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 12))
def test_results_do_not_depend_on_how_events_are_cut_into_batches(users, first_part):
    weights, features = weights_of(network(6)), random_features(len(users))
    whole, parts, rows = carried(4, 6), carried(4, 6), np.array(users)
    at_once = run_steps(weights, features, rows, whole)[0]
    for part in (slice(None, first_part), slice(first_part, None)):
        propensities, _ = run_steps(weights, rows_of(features, part), rows[part], parts)
        np.testing.assert_array_equal(propensities, at_once[part])
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("size", [1e-6, 1.0, 30.0, 1e6])
def test_gates_of_any_size_are_finite(size):
    weights, features = weights_of(network(5)), random_features(20)
    features.numeric[:] *= size
    state = carried(4, 5)
    propensities, _ = run_steps(weights, features, Runs.of(np.zeros(20, np.int64)).index, state)
    assert np.isfinite(propensities).all()
    assert np.isfinite(state).all()
    assert ((propensities >= 0) & (propensities <= 1)).all()
