import numpy as np
import pytest

from model.metrics import evaluate, expected_calibration_error, metrics_of

BOUGHT = np.array([False, False, True, True])


def test_a_perfect_ranking_has_an_auc_of_one():
    metrics = metrics_of(np.array([0.1, 0.2, 0.8, 0.9]), BOUGHT)
    assert metrics["roc_auc"] == metrics["pr_auc"] == 1
    assert metrics["base_rate"] == 0.5


def test_log_loss_and_brier_are_those_of_the_definition():
    metrics = metrics_of(np.array([0.5, 0.5, 0.5, 0.25]), BOUGHT)
    assert metrics["log_loss"] == pytest.approx((3 * np.log(2) + np.log(4)) / 4)
    assert metrics["brier"] == pytest.approx((3 * 0.25 + 0.5625) / 4)


def test_a_confident_mistake_is_dear_but_finite():
    assert metrics_of(np.array([1.0]), np.array([False]))["log_loss"] == pytest.approx(16.1, abs=0.1)


@pytest.mark.parametrize("bought", [np.zeros(4, np.bool_), np.ones(4, np.bool_)])
def test_with_one_class_there_is_no_ranking_to_measure(bought):
    metrics = metrics_of(np.full(4, 0.5), bought)
    assert metrics["roc_auc"] is metrics["pr_auc"] is None


def test_without_events_only_the_counts_are_there():
    assert metrics_of(np.empty(0), np.empty(0, np.bool_)) == {"events": 0, "positives": 0}


def test_calibration_error_is_zero_where_frequencies_match_and_grows_with_the_distance():
    random = np.random.default_rng(1)
    propensities = random.random(200_000)
    bought = random.random(200_000) < propensities
    assert expected_calibration_error(propensities, bought) < 0.01
    assert expected_calibration_error(propensities / 2, bought) == pytest.approx(0.25, abs=0.01)


def test_each_horizon_is_measured_over_its_known_labels():
    propensities = np.array([[0.9, 0.1], [0.1, 0.1], [0.1, 0.9]])
    bought = np.array([[True, False], [False, False], [True, True]])
    known = np.array([[True, True], [True, True], [False, True]])
    metrics = evaluate(propensities, bought, known, ("1h", "24h"))
    assert (metrics["1h"]["events"], metrics["24h"]["events"]) == (2, 3)
    assert metrics["1h"]["roc_auc"] == 1
