"""What is read of record batches, against aiokafka's writer."""

import struct
from itertools import islice

import pytest
from aiokafka.errors import CorruptRecordException
from hypothesis import given
from hypothesis import strategies as st

from streams.records.reader import UnreadableBatchError, committed, read_headers, stored_batches
from streams.records.writer import OutputRecord
from tests.streams.records.stock_client import CODECS, NOW_MS, RECORDS, read, records_of, written_by_aiokafka


@given(RECORDS, st.sampled_from(sorted(CODECS)), st.integers(0, 2**62))
def test_what_stock_clients_write_is_read_as_it_was_written(records, codec, base_offset):
    fetched = read(written_by_aiokafka(records, CODECS[codec], base_offset))
    assert records_of(fetched) == records
    assert fetched.offsets.tolist() == [base_offset + row for row in range(len(records))]
    assert fetched.timestamps_ms.tolist() == [NOW_MS + row for row in range(len(records))]
    assert all(fetched.values.buffer[end] == ord("\n") for start, end in fetched.values.spans if start >= 0)


def test_batches_of_one_response_are_read_together_whatever_their_codecs():
    records = [OutputRecord(b"k%d" % row, b"v%d" % row, [("h", b"%d" % row)]) for row in range(12)]
    batches = [
        written_by_aiokafka(records[row : row + 3], codec, row) for row, codec in ((0, 0), (3, 3), (6, 4), (9, 1))
    ]
    fetched = read(*batches)
    assert (records_of(fetched), fetched.offsets.tolist()) == (records, list(range(12)))


def test_a_batch_that_is_cut_off_is_left_for_the_next_response():
    whole = written_by_aiokafka([OutputRecord(b"k", b"v")])
    for length in range(len(whole)):
        assert len(list(stored_batches(memoryview(whole + whole[:length])))) == 1


def test_a_log_append_time_is_that_of_all_records():
    batch = bytearray(written_by_aiokafka([OutputRecord(b"k", b"v")] * 3))
    batch[22] |= 0x08
    struct.pack_into(">q", batch, 35, 77)
    assert read(bytes(batch)).timestamps_ms.tolist() == [77, 77, 77]


@given(st.data())
def test_damage_is_an_error_or_other_records_and_never_a_look_behind_the_batch(data):
    batch = bytearray(written_by_aiokafka([OutputRecord(b"key", b"value", [("h", b"x")])] * 4))
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(57, len(batch) - 1))] = data.draw(st.integers(0, 255))
    try:
        fetched = read(bytes(batch))
    except UnreadableBatchError:
        return
    for strings in (fetched.keys, fetched.values, fetched.headers):
        assert (strings.spans[:, 0] <= strings.spans[:, 1]).all()
        assert (strings.spans <= len(strings.buffer)).all()


def test_another_checksum_is_told():
    batch = bytearray(written_by_aiokafka([OutputRecord(b"k", b"v")]))
    (stored,) = stored_batches(memoryview(bytes(batch)))
    stored.check()
    batch[-2] ^= 1
    (stored,) = stored_batches(memoryview(bytes(batch)))
    with pytest.raises(CorruptRecordException, match="offset 0"):
        stored.check()


def test_an_older_format_is_refused_in_words():
    batch = bytearray(written_by_aiokafka([OutputRecord(b"k", b"v")]))
    batch[16] = 1
    with pytest.raises(CorruptRecordException, match="message format 1"):
        list(stored_batches(memoryview(bytes(batch))))


def control(base_offset: int, producer: int, kind: int) -> bytes:
    """What ends a transaction: 0 is an abort, 1 a commit."""
    marker = OutputRecord(struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0))
    batch = bytearray(written_by_aiokafka([marker], 0, base_offset, True, producer))
    batch[22] |= 0x20
    return bytes(batch)


def test_of_transactions_only_what_was_committed_counts():
    def batch(offset, producer, transactional=True):
        return written_by_aiokafka([OutputRecord(b"k", b"%d" % offset)], 0, offset, transactional, producer)

    response = b"".join(
        [
            *(batch(0, 7), batch(1, 8), batch(2, -1, transactional=False), control(3, 7, 0), control(4, 8, 1)),
            *(batch(5, 7), batch(6, 8), control(7, 8, 0), control(8, 7, 1)),
        ]
    )
    told = committed(stored_batches(memoryview(response)), [(8, 6), (7, 0)])
    assert [batch.base_offset for batch, counts in told if counts] == [1, 2, 5]


@given(st.binary(max_size=40))
def test_headers_that_are_none_are_none(written):
    try:
        headers = read_headers(written)
    except IndexError:
        raise AssertionError(written) from None
    assert all(len(value or b"") <= len(written) for _, value in islice(headers, 100))
