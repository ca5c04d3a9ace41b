import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch

from model.evaluation.baselines import BaseRate, Fitted, GradientBoosting, LogisticRegression, Sample, tabular
from model.evaluation.textbook import WINDOW_EVENTS, TextbookLSTM, windows
from model.events import Event
from model.metrics import metrics_of
from model.training.history import read_history
from model.training.labels import label_events
from service.errors import EvaluationError

HORIZONS = ("session", "1h")
START_MS = 1_700_000_000_000
TEXTBOOK = TextbookLSTM(seed=1, epochs=8, batch_events=64, learning_rate=0.01)
BASELINES = [BaseRate(), LogisticRegression(), GradientBoosting(seed=1, most_trees=25), TEXTBOOK]
CLEVER = BASELINES[1:]


def shop_events():
    """Shoppers of whom nearly everyone with something in the cart buys it minutes later."""
    random, events = np.random.default_rng(1), []
    for user in range(400):
        time_ms = START_MS + int(random.integers(0, 6 * 86_400_000))
        cart = random.random() < 0.3
        types = ["view", "cart" if cart else "view", "view", "purchase" if cart and random.random() < 0.9 else "view"]
        for number, kind in enumerate(types):
            time_ms += int(random.integers(10_000, 400_000))
            events.append(Event(f"{user}-{number}", f"u{user}", kind, time_ms, item_id=f"i{number}"))
    return sorted(events, key=lambda event: event.ts)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def history():
    return read_history(shop_events())


def parts_of(history):
    """Return labels and the masks of the past, the middle, the end, and of past and middle together."""
    labels = label_events(history.users, history.time_ms, history.is_purchase, HORIZONS)
    cuts = [START_MS + days * 86_400_000 for days in (0, 3, 4.5, 7)]
    inside = [(history.time_ms >= start) & (history.time_ms < end) for start, end in pairwise(cuts)]
    masks = [part[:, None] & labels.known_by(int(end)) for part, end in zip(inside, cuts[1:], strict=True)]
    before_test = (inside[0] | inside[1])[:, None] & labels.known_by(int(cuts[2]))
    return labels.bought, [*masks, before_test]


def samples_of(history, most=10**6):
    bought, (train, validation, _, before_test) = parts_of(history)
    return [Sample.of(bought, part, most, np.random.default_rng(1)) for part in (train, validation, before_test)]


def propensities_of(baseline, history, rows):
    return Fitted.of(baseline, history, *samples_of(history)).propensities(rows)


@pytest.mark.parametrize("baseline", CLEVER, ids=lambda one: one.name)
def test_a_baseline_learns_what_there_is_to_learn(history, baseline):
    bought, (_, _, test, _) = parts_of(history)
    rows = np.flatnonzero(test[:, 0])
    metrics = metrics_of(propensities_of(baseline, history, rows)[:, 0], bought[rows, 0])
    constant = metrics_of(propensities_of(BaseRate(), history, rows)[:, 0], bought[rows, 0])
    assert metrics["roc_auc"] > 0.75
    assert metrics["log_loss"] < constant["log_loss"]


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda one: one.name)
def test_a_baseline_knows_nothing_of_the_test_part(history, baseline):
    """Other events and other purchases there change no number before it."""
    bought, masks = parts_of(history)
    late = masks[2].any(axis=1)
    tampered = dataclasses.replace(
        history,
        numeric=np.where(late[:, None], 9, history.numeric).astype(np.float32),
        type_codes=np.where(late, 3, history.type_codes).astype(np.uint8),
    )
    samples, tampered_bought = samples_of(history), bought ^ late[:, None]
    parts = (*masks[:2], masks[3])
    retrained = [Sample.of(tampered_bought, part, 10**6, np.random.default_rng(1)) for part in parts]
    before = Fitted.of(baseline, history, *samples)
    after = Fitted.of(baseline, tampered, *retrained)
    rows = samples[0].rows
    np.testing.assert_array_equal(before.propensities(rows), after.propensities(rows))
    assert before.thresholds == after.thresholds


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda one: one.name)
def test_a_baseline_learns_from_everything_before_the_test_part(history, baseline):
    train, validation, everything = samples_of(history)
    assert len(everything.rows) > len(train.rows) + len(validation.rows) / 2
    late = history.time_ms[everything.rows] > history.time_ms[train.rows].max()
    nobody_buys = dataclasses.replace(everything, bought=everything.bought & ~late[:, None])
    rows = train.rows[:50]
    as_it_is = Fitted.of(baseline, history, train, validation, everything).propensities(rows)
    without = Fitted.of(baseline, history, train, validation, nobody_buys).propensities(rows)
    assert not np.allclose(without, as_it_is)


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda one: one.name)
def test_the_same_seed_gives_the_same_propensities(history, baseline):
    rows = np.arange(50)
    np.testing.assert_array_equal(propensities_of(baseline, history, rows), propensities_of(baseline, history, rows))


def test_the_base_rate_is_that_of_everything_before_the_test_part(history):
    everything = samples_of(history)[2]
    share = everything.bought.sum(axis=0) / everything.known.sum(axis=0)
    np.testing.assert_allclose(propensities_of(BaseRate(), history, np.arange(3)), np.tile(share, (3, 1)))


def test_a_sample_holds_no_label_that_is_not_known(history):
    bought, (train, *_) = parts_of(history)
    sample = Sample.of(np.ones_like(bought), train, 10**6, np.random.default_rng(1))
    assert (sample.bought == sample.known).all()


def test_of_too_many_examples_a_random_choice_is_taken(history):
    train, *_ = samples_of(history, most=100)
    assert len(train.rows) == len(np.unique(train.rows)) == 100
    assert (np.diff(train.rows) > 0).all()


def test_a_sample_of_one_class_says_what_it_lacks(history):
    train, *_ = samples_of(history)
    quiet = dataclasses.replace(train, bought=np.zeros_like(train.bought))
    with pytest.raises(EvaluationError, match=r"training part 0 are followed by what session asks for"):
        quiet.check("training", HORIZONS)


def test_a_row_of_the_table_holds_the_features_and_one_flag_for_the_type(history):
    table = tabular(history, np.array([5, 9]))
    features = history.numeric.shape[1]
    np.testing.assert_array_equal(table[:, :features], history.numeric[[5, 9]])
    assert table[:, features:].argmax(axis=1).tolist() == history.type_codes[[5, 9]].tolist()
    assert (table[:, features:].sum(axis=1) == 1).all()


def test_a_window_ends_with_the_event_and_holds_only_the_users_own_past(history):
    row = int(np.flatnonzero(np.diff(history.users))[3])  # a user's last event
    window = windows(history, np.array([row, row + 1]))
    first = row - int((history.users == history.users[row]).sum()) + 1
    alone = windows(history, np.arange(first, row + 1))
    np.testing.assert_array_equal(window[0, -(row - first + 1) :], alone[:, -1])
    assert not window[0, : WINDOW_EVENTS - (row - first + 1)].any()
    assert not window[1, :-1].any()
