"""The classic ways in which a model comes to know what it could not have known; each test fails if one is open."""

import dataclasses

import numpy as np
import pytest
import torch

from model.core.features import CATEGORY_RATES
from model.events import EVENT_TYPES, Event
from model.horizons import HORIZONS
from model.lstm import LSTMConfig
from model.simulator import SimulationSettings, simulate
from model.training.examples import Examples, hidden_users
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.predict import predict_logits
from model.training.resume import NoStateStore
from model.training.split import TimeSplit
from model.training.train import _Trainer, train

SMALL = LSTMConfig(hidden_size=8, category_buckets=16)
QUICK = TrainingSettings(epochs=2, batch_events=1024, auxiliary_from_events=0)
DAY_MS = 86_400_000
FEATURES = ("numeric", "items", "categories", "tokens")
CPU = torch.device("cpu")


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module")
def events():
    return list(simulate(SimulationSettings(events=15_000, users=300, seed=4)))


@pytest.fixture(scope="module")
def history(events):
    return read_history(events)


@pytest.fixture(scope="module")
def split(history):
    return TimeSplit.of(history.applied_ms, DAY_MS)


@pytest.fixture(scope="module")
def trained(history):
    return train(history, QUICK, SMALL, ignore)


def examples_of(history, split):
    return Examples.of(history, split, hidden_users(history), HORIZONS)


def with_nonsense_from(history, time_ms):
    """The history with other events from a time on."""
    return with_nonsense(history, history.applied_ms >= time_ms)


def with_nonsense(history, late):
    """The history with other events in some rows: other types, hence other labels, and other numbers."""
    random = np.random.default_rng(1)
    types = np.where(late, random.integers(0, len(EVENT_TYPES), len(history)), history.type_codes).astype(np.uint8)
    numbers = np.where(late[:, None], random.normal(size=history.numeric.shape), history.numeric).astype(np.float32)
    return dataclasses.replace(history, type_codes=types, own_types=types, numeric=numbers)


def same_weights(one, other):
    return all(torch.equal(weight, other.state_dict()[name]) for name, weight in one.state_dict().items())


def of_fold(history, split, fold):
    """What a fold of the chain makes: its network with the ridge folded in, and what it knows of categories."""
    training_set = getattr(examples_of(history, split), fold)().training_set
    trainer = _Trainer(QUICK, SMALL, None, CPU, NoStateStore())
    return trainer.make(fold, training_set, [0, 1, 2], ignore).model


def by_event(history, name):
    return dict(zip(history.rows.tolist(), getattr(history, name).tolist(), strict=True))


def test_later_events_change_no_input_of_an_earlier_one(events, history):
    """Statistics over the whole file, or the label's window among the inputs, would."""
    before = read_history(events[:7000])
    for name in FEATURES:
        known, everything = by_event(before, name), by_event(history, name)
        assert all(value == pytest.approx(everything[row], abs=1e-6) for row, value in known.items()), name


def test_later_events_change_no_earlier_score(history, trained):
    before = np.flatnonzero(history.applied_ms < np.median(history.applied_ms))
    everything = predict_logits(trained.model, history, np.arange(len(history)))
    np.testing.assert_allclose(predict_logits(trained.model, history, before), everything[before], atol=1e-5)


def test_other_users_change_no_input(events, history):
    some = set(history.user_ids[::2])
    alone = read_history([event for event in events if event.user_id in some])
    ids = {event.event_id: row for row, event in reversed(list(enumerate(events)))}
    kept = [event for event in events if event.user_id in some]
    everything = by_event(history, "numeric")
    for row, numbers in by_event(alone, "numeric").items():
        own = everything[ids[kept[row].event_id]][:CATEGORY_RATES]  # the rest is of all users, by definition
        assert numbers[:CATEGORY_RATES] == pytest.approx(own, abs=1e-6)


def test_the_test_part_changes_no_measured_weight_and_no_threshold(history, split, trained):
    again = train(with_nonsense_from(history, split.test_from_ms), QUICK, SMALL, ignore)
    assert again.metrics["test"] != trained.metrics["test"]
    assert same_weights(again.earlier, trained.earlier)
    assert not same_weights(again.model, trained.model)
    assert again.training["thresholds"] == trained.training["thresholds"]
    assert again.metrics["validation"] == trained.metrics["validation"]


@pytest.mark.parametrize(("fold", "until"), [("validation_fold", "validation_from_ms"), ("test_fold", "test_from_ms")])
def test_what_a_fold_is_measured_on_changes_no_weight(history, split, fold, until):
    changed = with_nonsense_from(history, getattr(split, until))
    assert same_weights(of_fold(changed, split, fold), of_fold(history, split, fold))


@pytest.mark.parametrize("fold", ["validation_fold", "test_fold"])
def test_hidden_users_change_no_weight(history, split, fold):
    hidden = hidden_users(history)
    assert 0.1 < hidden.mean() < 0.3
    changed = with_nonsense(history, hidden[history.users])
    assert same_weights(of_fold(changed, split, fold), of_fold(history, split, fold))
    assert not examples_of(history, split).learnt_before_test[hidden[history.users]].any()


def test_each_horizon_is_purged_by_its_own_length(history, split):
    examples = examples_of(history, split)
    for known, until_ms in (
        (examples.learnt, split.validation_from_ms),
        (examples.learnt_before_test, split.test_from_ms),
    ):
        latest = [int(history.time_ms[rows].max()) for rows in known.T]
        assert latest[1] <= until_ms - DAY_MS // 24
        assert latest[2] <= until_ms - DAY_MS
        assert latest[0] > until_ms - DAY_MS  # what is nearest to the measured events is learnt from
        assert latest[1] > until_ms - DAY_MS


def test_no_purchase_labels_an_event_of_an_earlier_part(history, split):
    clean = examples_of(history, split)
    for known, until_ms in ((clean.learnt, split.validation_from_ms), (clean.validation, split.test_from_ms)):
        later_purchases_gone = dataclasses.replace(
            history, type_codes=np.where(history.applied_ms >= until_ms, 0, history.type_codes).astype(np.uint8)
        )
        bought = examples_of(later_purchases_gone, split).bought
        assert (bought[known] == clean.bought[known]).all()
        assert (bought != clean.bought).any()


def test_the_parts_have_no_event_in_common(history, split):
    examples = examples_of(history, split)
    parts = [part.any(axis=1) for part in (examples.learnt, examples.validation, examples.test)]
    assert (np.sum(parts, axis=0) <= 1).all()
    assert all(part.any() for part in parts)


def test_a_file_that_is_read_twice_is_learnt_from_once(events, history):
    """Repeats that a user's state no longer remembers are late."""
    twice = read_history(events + events)
    assert twice.digest() == history.digest()
    assert twice.duplicates > len(history) // 3
    assert twice.duplicates + twice.late == 2 * len(events) - len(history)


def test_users_of_whom_anything_was_learnt_are_not_unseen(history, split):
    examples = examples_of(history, split)
    seen = np.unique(history.users[examples.learnt_before_test.any(axis=1)])
    assert len(seen)
    assert not examples.unseen()[seen].any()
    came_before = history.applied_ms < split.test_from_ms
    assert not (examples.unseen() & ~examples.hidden)[history.users[came_before]].any()


def test_events_drawn_at_random_cannot_be_predicted():
    """An AUC that looks too good is a leak until proven otherwise."""
    random = np.random.default_rng(3)
    times = np.sort(random.integers(0, 14 * DAY_MS, 30_000)) + 1_700_000_000_000
    types = random.choice(["view", "cart", "purchase"], 30_000, p=[0.7, 0.2, 0.1])
    drawn = [
        Event(f"e{number}", f"u{random.integers(200)}", str(name), int(time_ms), item_id=f"i{random.integers(50)}")
        for number, (name, time_ms) in enumerate(zip(types, times, strict=True))
    ]
    trained = train(read_history(drawn), QUICK, SMALL, ignore)
    for horizon, metrics in trained.metrics["test"].items():
        assert abs(metrics["roc_auc"] - 0.5) < 0.06, horizon


def test_an_event_that_arrives_after_its_purchase_is_neither_learnt_nor_measured(events):
    """A server tells of orders at once, browsers tell of clicks ten minutes late."""

    def arrives(event):
        return event.ts - 600_000 * (event.type == "purchase")

    history = read_history(sorted(events, key=arrives))
    examples = examples_of(history, TimeSplit.of(history.applied_ms, DAY_MS))
    known = (examples.learnt | examples.validation | examples.test | examples.settled).any(axis=1)
    foretold = 0
    for user in range(len(history.user_ids)):
        rows = np.flatnonzero(history.users == user)
        for number, row in enumerate(rows):
            before = rows[:number][history.is_purchase[rows[:number]]]
            if (history.time_ms[before] > history.time_ms[row]).any():
                foretold += 1
                assert not known[row]
    assert foretold > 50
    assert known.mean() > 0.8
