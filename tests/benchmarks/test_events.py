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


def test_the_same_shop_has_the_same_events_and_those_that_follow_are_later_ones():
    assert list(Shop(300, 20).records()) == list(Shop(300, 20).records())
    times_ms, ids = [], set()
    for shop in (Shop(300, 20), Shop(300, 20, first=300)):
        batch, _ = decode_events([value for _, value in shop.records()], None)
        times_ms += batch.event_time_ms.tolist()
        ids |= set(batch.event_ids)
    assert times_ms == sorted(times_ms)
    assert len(ids) == 600


def test_every_shopper_comes_once_in_turn_across_blocks():
    events = BLOCK + 10
    assert len({key for key, _ in Shop(events, events, in_turn=True).records()}) == events


def test_a_hot_shopper_has_the_share_that_is_asked_for():
    keys = [key for key, _ in Shop(20_000, 1000, hot_share=0.5).records()]
    assert keys.count(b"shopper-00000000") / len(keys) == pytest.approx(0.5, abs=0.02)
