"""What a fetch response is cut into, and what becomes of batches that nobody can read."""

import inspect
import os
import struct
from collections.abc import Iterable

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from streams.fetch import Fetch
from streams.records import compression, response
from streams.records.response import FetchedPieces, RawRecords

PARTITION = TopicPartition("shop.events", 2)
LIMIT_BYTES = 100_000
ZSTD = 4


@pytest.fixture(autouse=True)
def _low_limit(monkeypatch):
    for module in (compression, response):
        monkeypatch.setattr(module, "MOST_UNPACKED_BYTES", LIMIT_BYTES)


def batch(first: int, *values: bytes, codec: int = ZSTD, records: int | None = None) -> bytes:
    """A batch of values at consecutive offsets, which may say that it has another number of records."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    for row, value in enumerate(values):
        builder.append(row, 1000 + row, b"k", value, [])
    written = bytearray(builder.build())
    struct.pack_into(">q", written, 0, first)
    if records is not None:
        struct.pack_into(">i", written, 57, records)
    return bytes(written)


def pieces_of(batches: Iterable[bytes], fetch_offset: int = 0, most: int = 1000) -> FetchedPieces:
    return FetchedPieces(most, PARTITION, RawRecords(b"".join(batches)), None, fetch_offset, check_crcs=False)


def taken(pieces: FetchedPieces) -> list[tuple[list[int], bool, int]]:
    """Offsets of each piece, whether it could not be read, and from where aiokafka would fetch then."""
    return [(piece.offsets.tolist(), bool(piece.error), pieces.next_fetch_offset) for piece in pieces]


@pytest.mark.parametrize(
    "unreadable",
    [batch(2, bytes(LIMIT_BYTES), b"b"), batch(2, b"a", b"b", records=3), batch(2, b"a", b"b")[:70] + b"\0" * 19],
    ids=["too large", "wrong number of records", "damaged"],
)
def test_a_batch_that_nobody_can_read_is_one_piece_between_its_neighbours(unreadable):
    struck = bytearray(unreadable)
    struct.pack_into(">i", struck, 8, len(struck) - 12)
    pieces = pieces_of([batch(0, b"a", b"b"), bytes(struck), batch(4, b"e"), batch(5, b"f", codec=0)])
    found = list[Fetch](pieces)
    offsets = [(piece.offsets.tolist(), bool(piece.error)) for piece in found if piece.error]
    assert offsets == [([3], True)]
    assert sorted(offset for piece in found for offset in piece.offsets.tolist()) == [0, 1, 3, 4, 5]
    assert [piece.next_offset for piece in found] == sorted(piece.next_offset for piece in found)
    assert pieces.next_fetch_offset == 6
    (letter,) = [piece for piece in found if piece.error]
    assert letter.values[0] == bytes(struck)[61:]
    assert "offsets 2 to 3" in letter.error


def test_a_consumer_moves_on_behind_each_piece():
    pieces = pieces_of([batch(0, b"a", b"b"), batch(2, bytes(LIMIT_BYTES)), batch(3, b"d")], fetch_offset=1)
    assert taken(pieces) == [([1], False, 2), ([2], True, 3), ([3], False, 4)]


def test_once_a_response_has_been_unpacked_to_the_bound_the_rest_is_fetched_again():
    third = LIMIT_BYTES // 3
    response = [batch(offset, bytes(third)) for offset in range(10)]
    pieces = pieces_of(response)
    assert taken(pieces) == [([0, 1], False, 2)]
    assert pieces.next_fetch_offset == 2
    assert taken(pieces_of(response[2:], 2)) == [([2, 3], False, 4)]


def test_records_that_are_sent_as_they_are_may_be_larger():
    response = [batch(offset, os.urandom(3 * LIMIT_BYTES), codec=0) for offset in range(2)]
    assert taken(pieces_of(response)) == [([0], False, 1)]
    assert taken(pieces_of(response[1:], 1)) == [([1], False, 2)]


def test_aiokafka_makes_its_records_by_the_names_that_are_replaced():
    source = inspect.getsource(Fetcher)
    assert "records = MemoryRecords(part_data[-1])" in source
    assert "partition_records = PartitionRecords(" in source
