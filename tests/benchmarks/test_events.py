from itertools import islice

import pytest

from benchmarks.events import BLOCK, Shop
from model.core.decode import decode_events


def test_events_are_what_the_worker_takes_and_about_200_bytes():
    records = list(islice(Shop(100_000, 500).records(), 2000))
    batch, refused = decode_events([value for _, value in records], [key for key, _ in records])
    assert len(refused) == 0
    assert len(batch) == 2000
    assert sum(len(value) for _, value in records) / len(records) == pytest.approx(200, abs=10)


def test_the_same_shop_has_the_same_events_and_another_seed_has_others():
    assert list(Shop(300, 20).records()) == list(Shop(300, 20).records())
    first, second = ({value for _, value in Shop(300, 20, seed=seed).records()} for seed in (1, 2))
    assert first.isdisjoint(second)


def test_every_shopper_comes_once_in_turn_across_blocks():
    events = BLOCK + 10
    assert len({key for key, _ in Shop(events, events, in_turn=True).records()}) == events


def test_a_hot_shopper_has_the_share_that_is_asked_for():
    keys = [key for key, _ in Shop(20_000, 1000, hot_share=0.5).records()]
    assert keys.count(b"shopper-00000000") / len(keys) == pytest.approx(0.5, abs=0.02)
