"""The classic ways in which a model comes to know what it could not have known; each test fails if one is open."""

import dataclasses

import numpy as np
import pytest
import torch

from model.events import EVENT_TYPES, Event
from model.horizons import HORIZONS
from model.lstm import LSTMConfig
from model.simulator import SimulationSettings, simulate
from model.training.examples import Examples
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.predict import predict_logits
from model.training.split import TimeSplit
from model.training.train import train

SMALL = LSTMConfig(hidden_size=8, item_buckets=16, category_buckets=16)
QUICK = TrainingSettings(epochs=2, batch_events=1024, refit=False, auxiliary_from_events=0)
DAY_MS = 86_400_000
FEATURES = ("numeric", "items", "categories", "tokens")


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


def with_nonsense_from(history, time_ms):
    """The history with other events from a time on: other types, hence other labels, and other numbers."""
    random = np.random.default_rng(1)
    late = history.applied_ms >= time_ms
    types = np.where(late, random.integers(0, len(EVENT_TYPES), len(history)), history.type_codes).astype(np.uint8)
    numbers = np.where(late[:, None], random.normal(size=history.numeric.shape), history.numeric).astype(np.float32)
    return dataclasses.replace(history, type_codes=types, numeric=numbers)


def same_weights(one, other):
    return all(torch.equal(weight, other.model.state_dict()[name]) for name, weight in one.model.state_dict().items())


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
        assert numbers == pytest.approx(everything[ids[kept[row].event_id]], abs=1e-6)


def test_the_test_part_changes_no_weight_no_calibration_no_threshold(history, split, trained):
    again = train(with_nonsense_from(history, split.test_from_ms), QUICK, SMALL, ignore)
    assert again.metrics["test"] != trained.metrics["test"]
    assert same_weights(again, trained)
    assert again.calibration == trained.calibration
    assert again.training["thresholds"] == trained.training["thresholds"]
    assert again.training["curves"] == trained.training["curves"]
    assert again.metrics["validation"] == trained.metrics["validation"]


def test_a_refit_changes_what_is_served_but_not_what_is_reported(history, trained):
    again = train(history, dataclasses.replace(QUICK, refit=True), SMALL, ignore)
    assert not same_weights(again, trained)
    assert again.metrics == trained.metrics


def test_the_validation_part_changes_no_weight_but_by_the_choice_of_the_epoch(history, split):
    one_epoch = dataclasses.replace(QUICK, epochs=1)
    again = train(with_nonsense_from(history, split.validation_from_ms), one_epoch, SMALL, ignore)
    assert same_weights(again, train(history, one_epoch, SMALL, ignore))


def test_nothing_in_the_gap_before_validation_is_learnt_from_but_purchases_as_labels(history, split):
    in_gap = (history.applied_ms >= split.train_until_ms)[:, None]
    changed = dataclasses.replace(history, numeric=np.where(in_gap, 0, history.numeric).astype(np.float32))
    one_epoch = dataclasses.replace(QUICK, epochs=1)
    assert same_weights(train(changed, one_epoch, SMALL, ignore), train(history, one_epoch, SMALL, ignore))


def test_no_purchase_labels_an_event_of_an_earlier_part(history, split):
    clean = Examples.of(history, split, HORIZONS)
    for known, until_ms in ((clean.learnt, split.validation_from_ms), (clean.validation, split.test_from_ms)):
        later_purchases_gone = dataclasses.replace(
            history, type_codes=np.where(history.applied_ms >= until_ms, 0, history.type_codes).astype(np.uint8)
        )
        bought = Examples.of(later_purchases_gone, split, HORIZONS).bought
        assert (bought[known] == clean.bought[known]).all()
        assert (bought != clean.bought).any()


def test_the_parts_have_no_event_in_common(history, split):
    examples = Examples.of(history, split, HORIZONS)
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
    examples = Examples.of(history, split, HORIZONS)
    seen = np.unique(history.users[examples.learnt.any(axis=1)])
    assert len(seen)
    assert not examples.unseen()[seen].any()
    assert not (examples.unseen()[history.users] & (history.applied_ms < split.train_until_ms)).any()


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
    examples = Examples.of(history, TimeSplit.of(history.applied_ms, DAY_MS), HORIZONS)
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
