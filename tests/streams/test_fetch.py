import numpy as np
import pytest

from model.core.byte_strings import ByteStrings
from streams.fetch import Fetch
from streams.records.reader import FetchedRecords
from streams.records.writer import written_headers

OFFSETS = [4, 5, 9, 12]
"""With the holes that compaction and transactions leave."""


@pytest.fixture
def fetch() -> Fetch:
    keys, values = ([b"%s%d" % (kind, offset) for offset in OFFSETS] for kind in (b"k", b"v"))
    nothing = ByteStrings.none(len(OFFSETS))
    records = FetchedRecords(np.array(OFFSETS), np.full(4, 1000), ByteStrings.of(keys), ByteStrings.of(values), nothing)
    return Fetch.of("shop.events", 2, records)


def test_a_fetch_holds_the_columns_of_its_records(fetch):
    assert (fetch.topic, fetch.partition) == ("shop.events", 2)
    assert list(fetch.keys) == [b"k4", b"k5", b"k9", b"k12"]
    assert list(fetch.values) == [b"v4", b"v5", b"v9", b"v12"]
    assert fetch.offsets.tolist() == OFFSETS
    assert fetch.offsets.dtype == np.int64


def test_the_next_offset_is_the_one_after_the_last(fetch):
    assert (fetch.last_offset, fetch.next_offset) == (12, 13)


@pytest.mark.parametrize(
    ("offset", "left"),
    [(0, OFFSETS), (4, OFFSETS), (5, [5, 9, 12]), (6, [9, 12]), (9, [9, 12]), (10, [12]), (12, [12])],
)
def test_since_leaves_the_records_at_or_after_an_offset(fetch, offset, left):
    part = fetch.since(offset)
    assert part.offsets.tolist() == left
    assert list(part.keys) == [b"k%d" % number for number in left]
    assert list(part.values) == [b"v%d" % number for number in left]
    assert (part.topic, part.partition, part.next_offset) == ("shop.events", 2, 13)


def test_since_after_the_end_leaves_nothing(fetch):
    assert fetch.since(13) is None


def test_a_fetch_is_cut_into_pieces_that_lose_nothing(fetch):
    pieces = list(fetch.pieces(3))
    assert [piece.offsets.tolist() for piece in pieces] == [[4, 5, 9], [12]]
    assert [value for piece in pieces for value in piece.values] == list(fetch.values)
    assert list(fetch.pieces(4)) == [fetch]


@pytest.mark.parametrize(("others", "is_traced"), [(0, True), (63, True), (64, False), (100_000, False)])
def test_a_record_with_very_many_headers_is_part_of_no_trace(others, is_traced):
    parent = ("traceparent", b"00-%s-%s-01" % (b"a" * 32, b"b" * 16))
    headers = ByteStrings.of([written_headers([*[("", None)] * others, parent])])
    text = ByteStrings.of([b"x"])
    fetch = Fetch.of("shop.events", 2, FetchedRecords(np.array([7]), np.array([1000]), text, text, headers))
    assert fetch.traces == ({7: (parent,)} if is_traced else {})
