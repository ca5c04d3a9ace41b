import numpy as np
import pytest
from sklearn.metrics import d2_tweedie_score

from model.training.money import CONSTANT, MODEL, MoneyHoldout, joined


def holdout(predicted, actual, users=None, unseen=None, constant=None):
    count = len(actual)
    return MoneyHoldout(
        users=np.arange(count) if users is None else users,
        unseen=np.zeros(count, np.bool_) if unseen is None else unseen,
        actual=np.asarray(actual, np.float64),
        predicted={
            MODEL: np.asarray(predicted, np.float64),
            CONSTANT: np.full(count, np.mean(actual) if constant is None else constant),
        },
    )


@pytest.fixture
def some():
    random = np.random.default_rng(2)
    mean = random.lognormal(1.0, 1.0, 2000)
    return mean, mean * random.binomial(1, 0.2, len(mean)) * 5


def test_the_share_of_deviance_is_that_of_scikit_learn(some):
    predicted, actual = some
    found = holdout(predicted, actual).measure(1)["models"]
    assert found[MODEL]["d2"] == pytest.approx(d2_tweedie_score(actual, predicted, power=1))
    assert found[CONSTANT]["d2"] == pytest.approx(0.0)


def test_tenths_tell_predicted_from_actual_lowest_first(some):
    predicted, actual = some
    tenths = holdout(predicted, actual).measure(1)["deciles"]
    order = np.argsort(predicted)
    assert [one["events"] for one in tenths] == [200] * 10
    assert tenths[0]["predicted"] == pytest.approx(predicted[order[:200]].mean())
    assert tenths[9]["actual"] == pytest.approx(actual[order[-200:]].mean())
    assert all(one["actual_interval"][0] <= one["actual"] <= one["actual_interval"][1] for one in tenths)


def test_the_top_tenth_of_a_constant_holds_a_tenth_of_the_value(some):
    assert holdout(*some).measure(1)["models"][CONSTANT]["gain_10_percent"] == pytest.approx(0.1)


def test_a_level_that_is_off_beyond_chance_is_corrected_and_no_other(some):
    predicted, actual = some
    assert holdout(2 * predicted, actual).correction(1) == pytest.approx(actual.sum() / (2 * predicted.sum()))
    assert holdout(predicted * actual.sum() / predicted.sum() * 1.001, actual).correction(1) == 1.0


def test_one_shoppers_order_is_no_evidence_of_a_wrong_level():
    """Many events of one user are one observation."""
    actual = np.where(np.arange(400) < 200, 50.0, 0.0)
    users = np.where(np.arange(400) < 200, 0, np.arange(400) % 20 + 1)
    assert holdout(np.full(400, 10.0), actual, users).correction(1) == 1.0


def test_users_of_whom_nothing_was_learnt_are_measured_by_themselves(some):
    predicted, actual = some
    unseen = np.arange(len(actual)) % 5 == 0
    found = holdout(predicted, actual, unseen=unseen).measure(1, unseen=True)
    assert found["events"] == unseen.sum()
    assert found["mean"] == pytest.approx(actual[unseen].mean())


def test_without_a_purchase_there_is_nothing_to_compare():
    found = holdout(np.ones(5), np.zeros(5), constant=1.0).measure(1)
    assert (found["events"], found["models"], found["deciles"]) == (5, {}, [])


def test_folds_are_joined_row_by_row(some):
    one = holdout(*some)
    both = joined([one, one])
    assert len(both.users) == 2 * len(one.users)
    assert both.measure(1)["models"][MODEL]["ratio"] == pytest.approx(one.measure(1)["models"][MODEL]["ratio"])
