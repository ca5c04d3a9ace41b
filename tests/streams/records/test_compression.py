"""What is unpacked of record batches that aiokafka has compressed."""

import struct
from functools import partial

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import CorruptRecordException

from streams.records.compression import MOST_UNPACKED_BYTES
from streams.records.reader import UnreadableBatchError, stored_batches
from streams.records.writer import OutputRecord
from tests.streams.records.stock_client import CODECS, HEADER_BYTES, read, written_by_aiokafka


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
