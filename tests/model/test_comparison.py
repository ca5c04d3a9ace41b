import numpy as np
import pytest

from model.comparison import KnownLabels, Predictions, compare, interval, numbered, replicate, verdicts
from model.ranking import METRICS, Ranking

BASE_RATE = METRICS.index("base_rate")


def ranking_of(users, seed=1, share=0.3):
    random = np.random.default_rng(seed)
    propensities = random.random(len(users))
    return Ranking.of(propensities, random.random(len(users)) < propensities * share, users, threshold=0.6)


def test_a_draw_measures_what_repeating_the_drawn_users_events_would():
    users = np.repeat(np.arange(20), 15)
    ranking = ranking_of(users)
    drawn = np.random.default_rng(3).integers(0, 4, 20)
    repeated = np.repeat(np.arange(len(users)), drawn[ranking.users])
    written_out = Ranking.of(ranking.propensities[repeated], ranking.bought[repeated], threshold=0.6)
    ece = METRICS.index("ece")  # whose bins are those of all events
    np.testing.assert_allclose(
        np.delete(ranking.measure(drawn[ranking.users].astype(float)), ece), np.delete(written_out.measure(), ece)
    )


def test_the_same_seed_gives_the_same_draws_for_every_model():
    users = np.repeat(np.arange(30), 4)
    one = replicate([ranking_of(users)], 30, 25, seed=5)
    two = replicate([ranking_of(users, seed=2), ranking_of(users)], 30, 25, seed=5)
    np.testing.assert_array_equal(one[:, 0], two[:, 1])


def test_events_of_few_users_tell_less_than_those_of_many():
    random = np.random.default_rng(1)
    bought = np.repeat(random.random(40) < 0.3, 50)

    def width(users):
        ranking = Ranking.of(np.full(len(bought), 0.3), bought, users)
        low, high = interval(replicate([ranking], len(np.unique(users)), 200, seed=1)[:, 0, BASE_RATE])
        return high - low

    assert width(np.repeat(np.arange(40), 50)) > 3 * width(np.arange(2000))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        bought = random.random(300) < 0.25
        ranking = Ranking.of(np.full(300, 0.25), bought)
        low, high = interval(replicate([ranking], 300, 100, seed)[:, 0, BASE_RATE])
        hits += low <= 0.25 <= high
    assert 50 <= hits <= 60


def test_one_user_alone_has_no_interval():
    replicas = replicate([ranking_of(np.zeros(50, np.int64))], 1, 100, seed=1)
    assert interval(replicas[:, 0, BASE_RATE]) is None


def test_what_can_mostly_not_be_measured_has_no_interval():
    values = np.full(100, np.nan)
    values[:40] = 0.5
    assert interval(values) is None
    values[:60] = 0.5
    assert interval(values) == pytest.approx([0.5, 0.5])


def test_users_are_numbered_without_gaps():
    numbers, count = numbered(np.array([7, 7, 3, 90]))
    assert (numbers.tolist(), count) == ([1, 1, 0, 2], 3)


def differences(pr_auc, log_loss):
    found = {"pr_auc": {"interval": pr_auc}, "log_loss": {"interval": log_loss}}
    return {"differences": {"ridge": {"1h": found}}}


@pytest.mark.parametrize(
    ("pr_auc", "log_loss", "expected"),
    [
        ([0.01, 0.03], [-0.02, 0.01], "better"),
        ([-0.01, 0.03], [-0.02, -0.01], "better"),
        ([-0.01, 0.03], [-0.02, 0.01], "no different"),
        ([0.01, 0.03], [0.01, 0.02], "no different"),
        ([-0.03, -0.01], [-0.02, 0.01], "worse"),
        ([-0.03, 0.01], [0.01, 0.02], "worse"),
        (None, None, "no different"),
    ],
)
def test_a_model_is_better_only_if_a_whole_interval_says_so(pr_auc, log_loss, expected):
    assert verdicts(differences(pr_auc, log_loss), "ridge") == {"1h": expected}


def test_a_model_is_best_only_where_its_lead_over_each_other_one_is_no_chance():
    random = np.random.default_rng(1)
    users, truth = np.arange(600), random.random(600)
    bought = random.random(600) < truth
    labels = KnownLabels(users, bought[:, None], np.ones((600, 1), np.bool_), ("1h",))
    noise = random.normal(0, 0.01, 600)
    models = {"knowing": truth, "guessing": np.full(600, 0.5), "as_knowing": (truth + noise).clip(0.01, 0.99)}

    def best(*names):
        chosen = [Predictions(name, name, "", models[name][:, None], None) for name in names]
        return compare(chosen, labels, 100, 1, rivals=len(chosen))["best"]["1h"]

    assert best("guessing", "knowing")["roc_auc"] == "knowing"
    assert best("guessing", "knowing")["log_loss"] == "knowing"
    assert best("knowing", "as_knowing", "guessing")["roc_auc"] is None
    assert best("knowing")["roc_auc"] is None
