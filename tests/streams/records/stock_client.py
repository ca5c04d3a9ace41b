"""Record batches as aiokafka writes and reads them, and what the tests of ours share."""

import struct

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import strategies as st

from streams.records.reader import read_batches, stored_batches
from streams.records.writer import OutputRecord, OutputRecords

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
