"""What is written as record batches, against aiokafka's reader."""

import os

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from streams.records.writer import OutputRecord, OutputRecords, record_batches, write_offset_headers, written_headers
from tests.streams.records.stock_client import NOW_MS, RECORDS, by_aiokafka


def sent(records, **options) -> list[bytes]:
    return [batch._build() for batch in record_batches(OutputRecords.of(records), NOW_MS, **options)]


@given(RECORDS, st.booleans())
def test_what_is_written_is_what_stock_clients_read(records, in_transaction):
    (batch,) = sent(records, in_transaction=in_transaction)
    assert DefaultRecordBatch(batch).validate_crc()
    assert DefaultRecordBatch(batch).is_transactional == in_transaction
    assert by_aiokafka(batch) == records
    assert {record.timestamp for record in DefaultRecordBatch(batch)} == {NOW_MS}


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
