import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from model.metrics import UNDECIDED, best_threshold, evaluate, metrics_of

BOUGHT = np.array([False, False, True, True])


def shoppers(seed: int, events: int = 500):
    """Propensities with many ties, and labels that somewhat follow them."""
    random = np.random.default_rng(seed)
    propensities = random.integers(1, 40, events) / 40
    return propensities, random.random(events) < propensities**2


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
    metrics = metrics_of(np.full(4, 0.5), bought, threshold=0.6)
    assert metrics["roc_auc"] is metrics["pr_auc"] is None
    assert metrics["precision"] is None
    assert metrics["accuracy"] == 1 - bought[0]


def test_without_events_only_the_counts_are_there():
    assert metrics_of(np.empty(0), np.empty(0, np.bool_)) == {"events": 0, "positives": 0}


def test_calibration_error_is_zero_where_frequencies_match_and_grows_with_the_distance():
    random = np.random.default_rng(1)
    propensities = random.random(200_000)
    bought = random.random(200_000) < propensities
    assert metrics_of(propensities, bought)["ece"] < 0.01
    assert metrics_of(propensities / 2, bought)["ece"] == pytest.approx(0.25, abs=0.01)


def test_each_horizon_is_measured_over_its_known_labels():
    propensities = np.array([[0.9, 0.1], [0.1, 0.1], [0.1, 0.9]])
    bought = np.array([[True, False], [False, False], [True, True]])
    known = np.array([[True, True], [True, True], [False, True]])
    metrics = evaluate(propensities, bought, known, ("1h", "24h"))
    assert (metrics["1h"]["events"], metrics["24h"]["events"]) == (2, 3)
    assert metrics["1h"]["roc_auc"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_scikit_learns(seed):
    propensities, bought = shoppers(seed)
    metrics, flagged = metrics_of(propensities, bought, threshold=0.7), propensities >= 0.7
    expected = {
        "roc_auc": sklearn_metrics.roc_auc_score(bought, propensities),
        "pr_auc": sklearn_metrics.average_precision_score(bought, propensities),
        "log_loss": sklearn_metrics.log_loss(bought, np.clip(propensities, 1e-7, 1 - 1e-7)),
        "brier": sklearn_metrics.brier_score_loss(bought, propensities),
        "accuracy": sklearn_metrics.accuracy_score(bought, flagged),
        "precision": sklearn_metrics.precision_score(bought, flagged),
        "recall": sklearn_metrics.recall_score(bought, flagged),
        "f1": sklearn_metrics.f1_score(bought, flagged),
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_lift_says_how_much_richer_in_buyers_the_highest_propensities_are():
    bought = np.zeros(100, np.bool_)
    bought[:10] = True
    metrics = metrics_of(np.linspace(0.9, 0.1, 100), bought)
    assert [metrics[f"lift_{share}_percent"] for share in (1, 5, 10)] == pytest.approx([10, 10, 10])
    assert [metrics[f"gain_{share}_percent"] for share in (1, 5, 10)] == pytest.approx([0.1, 0.5, 1])


def test_a_constant_lifts_nothing():
    metrics = metrics_of(np.full(1000, 0.2), np.arange(1000) % 5 == 0)
    assert metrics["lift_1_percent"] == pytest.approx(1)
    assert metrics["roc_auc"] == 0.5
    assert metrics["pr_auc"] == pytest.approx(0.2)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
def test_no_other_threshold_has_a_higher_f1(events):
    propensities, bought = np.array([number / 20 for number, _ in events]), np.array([one for _, one in events])

    def f1(threshold):
        return metrics_of(propensities, bought, threshold)["f1"] or 0

    best = best_threshold(propensities, bought)
    assert f1(best) >= max(map(f1, propensities)) - 1e-12
    assert bought.any() or best == UNDECIDED
