"""Kafka's record batches as columns, without an object a record: what a fetch brings, and what a producer sends.

Message format 2 (KIP-98; "Record Batch" in the protocol guide of Kafka's documentation). A batch is a header and its
records, which may be compressed together; a record is a sequence of fields whose lengths are zigzag variable-length
integers.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt
from aiokafka.errors import CorruptRecordException
from aiokafka.record.util import calc_crc32c

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from model.core.encode import write_number
from service.kafka import Headers

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

_MAGIC: Final = 2
_BATCH: Final = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and highest timestamp, producer
id and epoch, base sequence, number of records."""
_AFTER_LENGTH: Final = 12
_MAGIC_AT: Final = 16
_CRC_AT: Final = 17
_CRC_FROM: Final = 21
"""The checksum is over what stands from here on."""
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_LZ4: Final = 3
_SNAPPY: Final = 2
_DECOMPRESS_INTO: Final[Mapping[int, Callable[[Any, Any], int]]] = {
    1: cramjam.gzip.decompress_into,
    _LZ4: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}
_XERIAL: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""What snappy-java, and clients that do as it does, begin with; blocks follow, each behind its size."""
_ABORT: Final = 0
_LONGEST_VARINT: Final = 10
RECORD_OVERHEAD: Final = 8 * _LONGEST_VARINT
"""What a record takes beside its key, value and headers, at most."""
MOST_BATCH_BYTES: Final = 900_000
"""Of the records of a batch before compression; a topic takes about a million bytes by default (max.message.bytes)."""
MOST_UNPACKED_BYTES: Final = 16 << 20
"""Of the records of a batch that is read. Producers send 1 MB by default; 534 bytes of zstd can hold this."""
_USUAL_RATIO: Final = 32
"""More than events are compressed by."""
_LZ4_LEVEL: Final = 1


class UnreadableBatchError(Exception):
    """A batch is as it was sent, and no records can be had of it: damaged, or too large when it is unpacked."""


class OutputRecord(msgspec.Struct, frozen=True, gc=False):
    """What is to be produced."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None = None

    def __repr__(self) -> str:
        return "OutputRecord()"  # what a log may hold ends here


@dataclass(frozen=True, slots=True)
class OutputRecords:
    """Records that are to be produced, as columns."""

    keys: ByteStrings
    values: ByteStrings
    headers: ByteStrings
    """As they stand in a record, with their number; None for no headers."""

    @classmethod
    def of(cls, records: Sequence[OutputRecord]) -> "OutputRecords":
        """Make columns of records."""
        return cls(
            ByteStrings.of([record.key for record in records]),
            ByteStrings.of([record.value for record in records]),
            ByteStrings.of([written_headers(record.headers) if record.headers else None for record in records]),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[OutputRecord]:
        for key, value, headers in zip(self.keys, self.values, self.headers, strict=True):
            yield OutputRecord(key, value, None if headers is None else [*read_headers(headers)])


@dataclass(frozen=True, slots=True)
class FetchedRecords:
    """Records of one partition, as columns."""

    offsets: Integers
    timestamps_ms: Integers
    """0 where a record has none."""
    keys: ByteStrings
    values: ByteStrings
    headers: ByteStrings
    """As they stand in a record, with their number; None where there are none."""


# Reading


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as a broker sends it, not decompressed yet."""

    base_offset: int
    last_offset: int
    attributes: int
    first_timestamp_ms: int
    highest_timestamp_ms: int
    producer_id: int
    records: int
    data: memoryview
    """From the length on."""

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    def is_abort_marker(self) -> bool:
        """Whether this control batch ends a transaction that was given up."""
        key = read_batches([self]).keys[0] or b""
        return len(key) >= 4 and struct.unpack_from(">hh", key)[1] == _ABORT

    def check(self) -> None:
        """Raise CorruptRecordException if these are not the bytes that the producer wrote."""
        (crc,) = struct.unpack_from(">I", self.data, _CRC_AT)
        if crc != calc_crc32c(self.data[_CRC_FROM:]):
            raise CorruptRecordException(f"the batch at offset {self.base_offset} has another checksum than it says")

    @property
    def packed(self) -> memoryview:
        """The records' bytes, compressed if they are."""
        return self.data[_BATCH.size :]

    def section(self) -> bytes | memoryview:
        """Return the records' bytes, decompressed.

        Takes no more memory than MOST_UNPACKED_BYTES, and a copy of what it returns. Raises UnreadableBatchError, and
        CorruptRecordException for an unknown codec.
        """
        codec = self.attributes & _CODEC
        if not codec:
            return self.packed
        if codec != _SNAPPY and codec not in _DECOMPRESS_INTO:
            raise CorruptRecordException(f"the batch at offset {self.base_offset} has unknown compression {codec}")
        section = _unsnapped(self.packed) if codec == _SNAPPY else _decompressed(self.packed, _DECOMPRESS_INTO[codec])
        if section is None:
            raise UnreadableBatchError(
                f"{self._in_words()} is damaged, or has more than {MOST_UNPACKED_BYTES} bytes when it is unpacked"
            )
        return section

    def damaged(self) -> UnreadableBatchError:
        """Return what to raise if the records do not fill the section."""
        return UnreadableBatchError(f"{self._in_words()} is damaged")

    def _in_words(self) -> str:
        return f"the batch of offsets {self.base_offset} to {self.last_offset} ({len(self.packed)} bytes as sent)"


def _decompressed(packed: memoryview, decompress_into: Callable[[Any, Any], int]) -> bytes | None:
    """Return what was compressed; None if it is damaged or larger than MOST_UNPACKED_BYTES."""
    for most in sorted({min(_USUAL_RATIO * len(packed), MOST_UNPACKED_BYTES), MOST_UNPACKED_BYTES}):
        out = np.empty(most, np.uint8)
        with suppress(cramjam.DecompressionError):  # also if it does not fit
            return out[: decompress_into(packed, out)].tobytes()
        del out  # before there is a larger one
    return None


def _unsnapped(packed: memoryview) -> bytes | None:
    """Return what was compressed; None if it is damaged or larger than MOST_UNPACKED_BYTES."""
    blocks, left = list[bytes](), MOST_UNPACKED_BYTES
    with suppress(cramjam.DecompressionError, struct.error):
        for block in _snappy_blocks(packed):
            left -= cramjam.snappy.decompress_raw_len(block)
            if left < 0:
                return None
            blocks.append(bytes(cramjam.snappy.decompress_raw(block)))
        return b"".join(blocks)
    return None


def _snappy_blocks(packed: memoryview) -> Iterator[memoryview]:
    if packed[: len(_XERIAL)].tobytes() != _XERIAL:
        yield packed
        return
    at = len(_XERIAL)
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


def read_batches(
    batches: Sequence[StoredBatch], sections: Sequence[bytes | memoryview] | None = None
) -> FetchedRecords:
    """Return the records of consecutive batches, whose `sections` may be given; raises as `StoredBatch.section`."""
    sections = [batch.section() for batch in batches] if sections is None else sections
    section = np.frombuffer(sections[0] if len(sections) == 1 else b"".join(sections), np.uint8)
    records = sum(min(max(batch.records, 0), len(each)) for batch, each in zip(batches, sections, strict=True))
    offsets, timestamps_ms = np.empty(records, np.int64), np.empty(records, np.int64)
    keys, values, headers = (np.empty((records, 2), np.int64) for _ in range(3))
    key_buffer, value_buffer = (np.empty(len(section) + records, np.uint8) for _ in range(2))
    row = start = key_at = value_at = 0
    for batch, each in zip(batches, sections, strict=True):
        rows, end = slice(row, row + batch.records), start + len(each)
        columns = (offsets[rows], timestamps_ms[rows], keys[rows], values[rows], headers[rows])
        key_at, value_at = read_records(section, start, end, *columns, key_buffer, key_at, value_buffer, value_at)
        if key_at < 0 or len(columns[0]) != batch.records:
            raise batch.damaged()
        columns[0][:] += batch.base_offset
        columns[1][:] += batch.first_timestamp_ms
        if batch.attributes & _LOG_APPEND_TIME:
            columns[1][:] = batch.highest_timestamp_ms
        row, start = rows.stop, end
    return FetchedRecords(
        offsets,
        np.maximum(timestamps_ms, 0),
        ByteStrings(key_buffer, keys),
        ByteStrings(value_buffer, values),
        ByteStrings(section, headers),
    )


def stored_batches(data: memoryview) -> Iterator[StoredBatch]:
    """Return the batches of a fetch response, of which the last may be cut off.

    Raises CorruptRecordException for an older message format than 2.
    """
    at = 0
    while len(data) - at >= _BATCH.size:
        base, length, _, magic, _, attributes, last, first_ms, highest_ms, producer, _, _, records = _BATCH.unpack_from(
            data, at
        )
        if magic != _MAGIC:
            raise CorruptRecordException(f"the batch at offset {base} has message format {magic}; Cartcast reads 2")
        end = at + _AFTER_LENGTH + length
        if end > len(data):
            return
        yield StoredBatch(base, base + last, attributes, first_ms, highest_ms, producer, records, data[at:end])
        at = end


def committed(batches: Iterator[StoredBatch], aborted: Sequence[tuple[int, int]]) -> Iterator[tuple[StoredBatch, bool]]:
    """Return each batch, and whether its records count.

    Control batches have none, and transactions that were given up take theirs back: `aborted` are their producers' ids
    and first offsets, as the fetch response lists them; each lasts until its producer's abort marker.
    """
    starts, open_for = sorted(aborted, key=lambda transaction: transaction[1]), set[int]()
    for batch in batches:
        while starts and starts[0][1] <= batch.base_offset:
            open_for.add(starts.pop(0)[0])
        if batch.is_control and batch.is_abort_marker():
            open_for.discard(batch.producer_id)
        yield batch, not batch.is_control and not (batch.is_transactional and batch.producer_id in open_for)


@compiled
def read_records(  # noqa: PLR0913, PLR0917 - a section, and the columns of its records
    section: Bytes,
    start: int,
    stop: int,
    offsets: Integers,
    timestamps_ms: Integers,
    keys: Integers,
    values: Integers,
    headers: Integers,
    key_buffer: Bytes,
    key_at: int,
    value_buffer: Bytes,
    value_at: int,
) -> tuple[int, int]:
    """Read the records of a batch from section[start:stop]; offsets and timestamps are relative to the batch's.

    Copies keys and values into their buffers, each with a line feed behind it; the spans of headers are those in
    `section`. Returns where the buffers are free from then on; -1 and -1 if the records do not fill the section.
    """
    at = start
    for row in range(len(offsets)):
        length, at = _read_varint(section, at)
        if length < 1 or length > stop - at:
            return -1, -1
        end = at + length
        timestamps_ms[row], at = _read_varint(section, at + 1)  # behind the record's attributes, which are not in use
        offsets[row], at = _read_varint(section, at)
        length, at = _read_varint(section, at)
        if length > end - at:
            return -1, -1
        key_at = _copy_string(section, at, length, key_buffer, key_at, keys[row])
        length, at = _read_varint(section, at + max(length, 0))
        if length > end - at:
            return -1, -1
        value_at = _copy_string(section, at, length, value_buffer, value_at, values[row])
        at += max(length, 0)
        if at >= end:
            return -1, -1
        has_headers = section[at] != 0
        headers[row, 0] = at if has_headers else -1
        headers[row, 1] = end if has_headers else -1
        at = end
    return (key_at, value_at) if at == stop else (-1, -1)


@compiled
def _copy_string(  # noqa: PLR0913, PLR0917 - from where to where
    source: Bytes, start: int, length: int, out: Bytes, at: int, span: npt.NDArray[np.int64]
) -> int:
    """Copy a string and a line feed to `out[at:]` and note its span; a negative length stands for none."""
    if length < 0:
        span[:] = -1
        return at
    for place in range(length):
        out[at + place] = source[start + place]
    span[0], span[1] = at, at + length
    out[at + length] = 10
    return at + length + 1


@compiled
def _read_varint(section: Bytes, at: int) -> tuple[Any, int]:
    """Return a zigzag variable-length integer and where it ends; behind the section stand zeros."""
    number, shift = np.int64(0), np.int64(0)
    while shift < 64:
        part = np.int64(section[at]) if at < len(section) else np.int64(0)
        at += 1
        number |= (part & np.int64(0x7F)) << shift
        if part < 0x80:
            break
        shift += 7
    return (number >> np.int64(1)) & np.int64(0x7FFFFFFFFFFFFFFF) ^ -(number & np.int64(1)), at


def read_headers(written: bytes, most: int | None = None) -> list[tuple[str, bytes | None]]:
    """Return the headers of a record; none if they are damaged, or more than `most`."""
    section = np.frombuffer(written, np.uint8)
    count, at = _read_varint(section, 0)
    headers = list[tuple[str, bytes | None]]()
    for _ in range(min(count, len(written) if most is None else most)):
        length, at = _read_varint(section, at)
        name, at = written[at : at + max(length, 0)].decode(errors="replace"), at + max(length, 0)
        length, at = _read_varint(section, at)
        headers.append((name, None if length < 0 else written[at : at + length]))
        at += max(length, 0)
    return headers if at == len(written) else []


# Writing


def written_headers(headers: Headers) -> bytes:
    """Return headers as they stand in a record, with their number."""
    parts = [_varint(len(headers))]
    for name, value in headers:
        encoded = name.encode()
        parts += [_varint(len(encoded)), encoded]
        if value is None:
            parts.append(_varint(-1))
        else:
            body = value.encode() if isinstance(value, str) else value
            parts += [_varint(len(body)), body]
    return b"".join(parts)


@compiled
def write_offset_headers(named: Bytes, offsets: Integers, out: Bytes, ends: Integers) -> None:
    """Write headers that end with an offset's digits; `named` are those before, and the name of the last."""
    at = 0
    for row in range(len(offsets)):
        for place in range(len(named)):
            out[at + place] = named[place]
        at += len(named)
        end = write_number(out, at + 1, offsets[row])  # behind the number of digits, which takes one byte
        _write_varint(out, at, end - at - 1)
        ends[row] = at = end


def _varint(number: int) -> bytes:
    out = np.empty(_LONGEST_VARINT, np.uint8)
    return out[: _write_varint(out, 0, number)].tobytes()


class RecordBatch:
    """A batch that is ready to be sent, under the interface of aiokafka's BatchBuilder."""

    def __init__(self, section: bytes, records: int, timestamp_ms: int, attributes: int) -> None:
        self._section = section
        self._records = records
        self._timestamp_ms = timestamp_ms
        self._attributes = attributes
        self._producer = (-1, -1, -1)

    def close(self) -> None:
        """Do nothing: nothing can be appended."""

    def closed(self) -> bool:
        return True

    def record_count(self) -> int:
        return self._records

    def size(self) -> int:
        """Return the bytes on the wire."""
        return _BATCH.size + len(self._section)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes:
        length = self.size() - _AFTER_LENGTH
        fields = (self._attributes, self._records - 1, self._timestamp_ms, self._timestamp_ms, *self._producer)
        batch = bytearray(_BATCH.pack(0, length, -1, _MAGIC, 0, *fields, self._records))
        batch += self._section
        struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(memoryview(batch)[_CRC_FROM:]))
        return bytes(batch)


def record_batches(records: OutputRecords, timestamp_ms: int, *, in_transaction: bool = False) -> list[RecordBatch]:
    """Return batches of records, in order, that brokers take unless a single record is too large."""
    keys, values, headers = records.keys, records.values, records.headers
    sizes = [(each.spans[:, 1] - each.spans[:, 0]) for each in (keys, values, headers)]
    most = min(int(sum(size.sum() for size in sizes)) + len(records) * RECORD_OVERHEAD, MOST_BATCH_BYTES)
    batches, first = list[RecordBatch](), 0
    while first < len(records):
        largest = int(sum(size[first] for size in sizes)) + RECORD_OVERHEAD
        out = np.empty(max(most, largest), np.uint8)
        used, end = write_records(
            *(keys.buffer, keys.spans, values.buffer, values.spans, headers.buffer, headers.spans), first, out
        )
        attributes = _LZ4 | (_TRANSACTIONAL if in_transaction else 0)
        batches.append(RecordBatch(_compressed(out[:used].tobytes()), end - first, timestamp_ms, attributes))
        first = end
    return batches


def _compressed(section: bytes) -> bytes:
    """Return an LZ4 frame of independent blocks: brokers refuse others (KIP-57)."""
    compressor: Any = cramjam.lz4.Compressor(level=_LZ4_LEVEL, content_checksum=False, block_linked=False)
    compressor.compress(section)
    return bytes(compressor.finish())


@compiled
def write_records(  # noqa: PLR0913, PLR0917 - the columns of records
    key_buffer: Bytes,
    keys: Integers,
    value_buffer: Bytes,
    values: Integers,
    header_buffer: Bytes,
    headers: Integers,
    first: int,
    out: Bytes,
) -> tuple[int, int]:
    """Write records from row `first` on, as many as fit into `out`; returns the bytes written and the next row."""
    at = 0
    for row in range(first, len(keys)):
        body = (
            2  # attributes, and the timestamp, which is the batch's
            + _varint_bytes(row - first)
            + _string_bytes(keys[row])
            + _string_bytes(values[row])
            + (headers[row, 1] - headers[row, 0] if headers[row, 0] >= 0 else 1)
        )
        if at + _varint_bytes(body) + body > len(out):
            return at, row
        at = _write_varint(out, at, body)
        out[at], out[at + 1] = 0, 0
        at = _write_varint(out, at + 2, row - first)
        at = _write_string(out, at, key_buffer, keys[row])
        at = _write_string(out, at, value_buffer, values[row])
        if headers[row, 0] >= 0:
            for place in range(headers[row, 0], headers[row, 1]):
                out[at] = header_buffer[place]
                at += 1
        else:
            out[at] = 0  # of them
            at += 1
    return at, len(keys)


@compiled
def _string_bytes(span: npt.NDArray[np.int64]) -> int:
    length = span[1] - span[0]
    return int(_varint_bytes(length) + length) if span[0] >= 0 else 1


@compiled
def _write_string(out: Bytes, at: int, buffer: Bytes, span: npt.NDArray[np.int64]) -> int:
    start, length = span[0], span[1] - span[0]
    if start < 0:
        return _write_varint(out, at, -1)
    at = _write_varint(out, at, length)
    for place in range(length):
        out[at + place] = buffer[start + place]
    return int(at + length)


@compiled
def _varint_bytes(number: int) -> int:
    """Return how many bytes the variable-length integer of a number that is not negative takes."""
    rest, count = number >> 6, 1
    while rest > 0:
        rest >>= 7
        count += 1
    return count


@compiled
def _write_varint(out: Bytes, at: int, number: int) -> int:
    """Write a number as a zigzag variable-length integer; returns where it ends."""
    rest = (np.int64(number) << np.int64(1)) ^ (np.int64(number) >> np.int64(63))
    while rest >= 0x80:
        out[at] = (rest & 0x7F) | 0x80
        rest >>= 7
        at += 1
    out[at] = rest
    return at + 1
