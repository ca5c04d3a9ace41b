"""Kafka's record format, against aiokafka's reader and writer."""

import os
import struct
from functools import partial
from itertools import islice

import numpy as np
import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from streams.record_batch import (
    MOST_UNPACKED_BYTES,
    OutputRecord,
    OutputRecords,
    UnreadableBatchError,
    committed,
    read_batches,
    read_headers,
    record_batches,
    stored_batches,
    write_offset_headers,
    written_headers,
)

STRINGS = st.none() | st.binary(max_size=300)
RECORDS = st.lists(
    st.builds(
        OutputRecord, STRINGS, STRINGS, st.none() | st.lists(st.tuples(st.text(max_size=70), STRINGS), min_size=1)
    ),
    min_size=1,
    max_size=80,
)
NOW_MS = 1_700_000_000_123
HEADER_BYTES = 61
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def sent(records, **options) -> list[bytes]:
    return [batch._build() for batch in record_batches(OutputRecords.of(records), NOW_MS, **options)]


def by_aiokafka(batch: bytes) -> list[OutputRecord]:
    return [OutputRecord(one.key, one.value, one.headers or None) for one in DefaultRecordBatch(batch)]


def written_by_aiokafka(records, codec=0, base_offset=0, transactional=False, producer=-1) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, transactional, producer, -1, -1, 1 << 20)
    for row, record in enumerate(records):
        builder.append(row, NOW_MS + row, record.key, record.value, record.headers or [])
    batch = builder.build()
    return struct.pack(">q", base_offset) + bytes(batch)[8:]


def read(*batches: bytes):
    return read_batches(list(stored_batches(memoryview(b"".join(batches)))))


def records_of(fetched) -> list[OutputRecord]:
    return list(OutputRecords(fetched.keys, fetched.values, fetched.headers))


@given(RECORDS, st.booleans())
def test_what_is_written_is_what_stock_clients_read(records, in_transaction):
    (batch,) = sent(records, in_transaction=in_transaction)
    assert DefaultRecordBatch(batch).validate_crc()
    assert DefaultRecordBatch(batch).is_transactional == in_transaction
    assert by_aiokafka(batch) == records
    assert {record.timestamp for record in DefaultRecordBatch(batch)} == {NOW_MS}


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


def compressed(section: bytes, codec: str) -> bytes:
    encoders = {
        "gzip": gzip_encode,
        "snappy": partial(snappy_encode, xerial_compatible=False),
        "xerial": snappy_encode,
        "lz4": lz4_encode,
        "zstd": zstd_encode,
    }
    return with_section(encoders[codec](section), CODECS["snappy" if codec == "xerial" else codec])


def with_section(section: bytes, codec: int) -> bytes:
    """A batch of records that are packed so, at offsets 5 to 7."""
    batch = bytearray(written_by_aiokafka([OutputRecord(b"k", b"v")] * 3, base_offset=5))[:HEADER_BYTES] + section
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    batch[22] |= codec
    return bytes(batch)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "xerial", "lz4", "zstd"])
def test_a_batch_is_unpacked_up_to_a_bound(codec):
    (most,) = stored_batches(memoryview(compressed(bytes(MOST_UNPACKED_BYTES), codec)))
    assert most.section() == bytes(MOST_UNPACKED_BYTES)
    (more,) = stored_batches(memoryview(compressed(bytes(MOST_UNPACKED_BYTES + 1), codec)))
    with pytest.raises(UnreadableBatchError, match=f"offsets 5 to 7 .*{len(more.packed)} bytes as sent.* unpacked"):
        more.section()


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "section", [b"", b"nonsense" * 9, b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xfc"]
)
def test_what_cannot_be_unpacked_is_told(codec, section):
    with pytest.raises(UnreadableBatchError, match="damaged"):
        read(with_section(section, codec))


def test_an_unknown_compression_is_no_damage():
    with pytest.raises(CorruptRecordException, match="unknown compression 7"):
        read(with_section(b"", 7))


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


@pytest.mark.parametrize("size", [200, 450_000, 2_000_000])
def test_records_are_cut_into_batches_that_brokers_take(size):
    records = [OutputRecord(b"k", os.urandom(size), [("n", b"%d" % row)]) for row in range(max(3, 3_000_000 // size))]
    batches = sent(records)
    assert [record for batch in batches for record in by_aiokafka(batch)] == records
    assert all(len(batch) < 1_048_588 or size > 1_000_000 for batch in batches)
    assert [DefaultRecordBatch(batch).base_offset for batch in batches] == [0] * len(batches)


def test_a_batch_says_who_sends_it_and_which_number_it_has():
    (batch,) = record_batches(OutputRecords.of([OutputRecord(b"k", b"v")] * 5), NOW_MS)
    batch._set_producer_state(77, 3, 41)
    written = DefaultRecordBatch(batch._build())
    assert (written.producer_id, written.producer_epoch, written.base_sequence) == (77, 3, 41)
    assert (written.next_offset, batch.record_count(), batch.size()) == (5, 5, len(batch._build()))


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=20))
def test_headers_that_name_an_offset_are_as_any_header(offsets):
    named = written_headers([("topic", b"t"), ("offset", b"")])[:-1]
    out, ends = np.empty(len(offsets) * (len(named) + 20), np.uint8), np.empty(len(offsets), np.int64)
    write_offset_headers(np.frombuffer(named, np.uint8), np.array(offsets), out, ends)
    for written, offset in zip(ByteStrings.of_bounds(out, ends), offsets, strict=True):
        assert written == written_headers([("topic", b"t"), ("offset", b"%d" % offset)])


@given(st.binary(max_size=40))
def test_headers_that_are_none_are_none(written):
    try:
        headers = read_headers(written)
    except IndexError:
        raise AssertionError(written) from None
    assert all(len(value or b"") <= len(written) for _, value in islice(headers, 100))
