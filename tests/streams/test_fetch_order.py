"""Fetches are taken in the order of their offsets, whatever the client hands out."""

from streams.fetch import FetchOrder

PARTITION = ("events", 0)


def test_a_fetch_that_begins_where_the_last_one_ended_is_taken():
    order = FetchOrder()
    assert order.take(PARTITION, 5, 10) is None
    assert order.take(PARTITION, 10, 12) is None


def test_what_comes_from_behind_dropped_records_is_fetched_again_from_its_place():
    order = FetchOrder()
    order.sought({PARTITION: 10})
    assert order.take(PARTITION, 20, 30) == 10
    assert order.take(PARTITION, 30, 40) == 10
    assert order.take(PARTITION, 10, 20) is None
    assert order.take(PARTITION, 20, 30) is None


def test_a_gap_that_is_there_twice_is_one():
    order = FetchOrder()
    order.take(PARTITION, 0, 10)
    assert order.take(PARTITION, 11, 20) == 10
    assert order.take(PARTITION, 11, 20) is None
    assert order.take(PARTITION, 20, 21) is None


def test_what_was_sought_counts_and_repeats_are_left_to_those_who_know_them():
    order = FetchOrder()
    order.take(PARTITION, 0, 100)
    order.sought({PARTITION: 40})
    assert order.take(PARTITION, 35, 60) is None
    assert order.take(PARTITION, 100, 120) == 60
