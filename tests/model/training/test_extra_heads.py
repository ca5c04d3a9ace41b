"""Extra heads: their answers, which of them count where, and how they are measured."""

import dataclasses

import numpy as np
import pytest

from model.batch import id_code
from model.events import TYPE_CODES, Event
from model.heads import HEADS, bucket_of
from model.horizons import horizon_ms
from model.lstm import LSTMConfig
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from model.training.examples import Examples, hidden_users
from model.training.extra_heads import UNKNOWN, Targets, _at_hand, check_targets, class_labels_of, class_shares
from model.training.history import read_history
from model.training.split import TimeSplit
from service.errors import TrainingError

START_MS, HOUR_MS = 1_700_000_000_000, 3_600_000
BUCKETS = 512
HORIZONS = ("session", "24h")


def event(user: str, number: int, kind: str, hours: float, category: str | None = None) -> Event:
    return Event(f"{user}{number}", user, kind, START_MS + int(hours * HOUR_MS), "i", category)


def bucket(category: str) -> int:
    return int(bucket_of(np.array([id_code(category)], np.uint16), BUCKETS)[0])


def labels(events: list[Event]):
    history = read_history(events)
    return class_labels_of(history, slice(0, len(history)), HEADS, BUCKETS, horizon_ms("24h"))


def test_the_next_type_is_that_of_the_users_next_event_by_arrival():
    found = labels(
        [event("a", 0, "view", 0), event("b", 0, "search", 0.1), event("a", 1, "cart", 3), event("a", 2, "review", 2)]
    )
    types = [TYPE_CODES["cart"], TYPE_CODES["review"], UNKNOWN, UNKNOWN]
    assert found.classes[:, 0].tolist() == types
    settled_ms = found.settled_at_ms[:, 0] - START_MS
    assert settled_ms[:2].tolist() == [3 * HOUR_MS, 3 * HOUR_MS]  # the late one is applied with the one before it
    assert (settled_ms[2:] > 1e15).all()


def test_the_next_type_may_be_a_shops_own_whatever_it_behaves_like():
    shop = shop_of({"types": {"quick_look": "view", "Joined": "none"}})
    kinds = ("view", "quick_look", "Joined", "unheard of")
    history = read_history([event("a", number, kind, number) for number, kind in enumerate(kinds)], shop=shop)
    found = class_labels_of(history, slice(0, 4), ("next_type",), BUCKETS, HOUR_MS)
    names = [shop.event_types[code] for code in found.classes[:-1, 0]]
    assert names == ["quick_look", "Joined", "other"]
    config = LSTMConfig(heads=("next_type",), shop=shop)
    assert _at_hand(history, config)[:, 0].tolist() == [shop.event_types.index(name) for name in ("view", *names)]


def test_the_category_is_that_of_the_first_strictly_later_purchase_within_the_longest_horizon():
    found = labels(
        [
            event("a", 0, "view", 0),
            event("a", 1, "purchase", 1, "shoes"),
            event("a", 2, "purchase", 1, "bags"),
            event("a", 3, "view", 2),
            event("a", 4, "purchase", 25, "hats"),
            event("a", 5, "view", 30),
            event("a", 6, "purchase", 31),
            event("b", 0, "purchase", 32, "shoes"),
        ]
    )
    hats = bucket("hats")
    assert found.classes[:, 1].tolist() == [bucket("shoes"), hats, hats, hats, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert found.settled_at_ms[0, 1] == START_MS + 24 * HOUR_MS


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=30_000, users=300, seed=4)))


@pytest.fixture(scope="module")
def split(history):
    return TimeSplit.of(history.applied_ms, horizon_ms("24h"))


def test_no_later_part_gives_an_answer_to_an_earlier_one(history, split):
    clean = Examples.of(history, split, hidden_users(history), HORIZONS, HEADS, BUCKETS).targets
    parts = {"learnt": split.validation_from_ms, "validation": split.test_from_ms}
    for part, until_ms in (parts | {"learnt_before_test": split.test_from_ms}).items():
        later = history.applied_ms >= until_ms
        changed = dataclasses.replace(
            history,
            own_types=np.where(later, 0, history.own_types).astype(np.uint8),
            categories=np.where(later, 7, history.categories).astype(np.uint16),
        )
        others = Examples.of(changed, split, hidden_users(changed), HORIZONS, HEADS, BUCKETS).targets
        targets = getattr(clean, part)
        assert (targets != UNKNOWN).any(axis=0).all()
        known = targets != UNKNOWN
        assert (getattr(others, part)[known] == targets[known]).all()
        assert (others.settled != clean.settled).any(axis=0).all()


def test_an_answer_counts_in_one_part_only_and_the_last_fit_learns_from_all(history, split):
    targets = Examples.of(history, split, hidden_users(history), HORIZONS, HEADS, BUCKETS).targets
    known = [part != UNKNOWN for part in (targets.learnt, targets.validation, targets.test)]
    assert (np.sum(known, axis=0) <= 1).all()
    assert ((targets.settled != UNKNOWN) >= np.any(known, axis=0)).all()


def test_without_heads_there_are_no_targets(history, split):
    assert Examples.of(history, split, hidden_users(history), HORIZONS).targets.settled.shape == (len(history), 0)


def test_a_head_with_too_little_to_learn_from_is_named():
    known = np.where([[True, False]] * 200, 1, UNKNOWN).astype(np.int32)
    check_targets(Targets(np.int32(UNKNOWN), *[known[:, :1]] * 5), HEADS[:1])
    with pytest.raises(TrainingError, match="--head purchase_category"):
        check_targets(Targets(np.int32(UNKNOWN), *[known] * 5), HEADS)


def test_shares_begin_with_one_of_each_class():
    shares = class_shares(np.array([2, 2, UNKNOWN], np.int32), 4)
    np.testing.assert_allclose(shares, [1 / 6, 1 / 6, 3 / 6, 1 / 6])
