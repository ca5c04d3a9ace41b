"""Writing record batches: from columns to what a producer sends."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from aiokafka.record.util import calc_crc32c

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from model.core.encode import copy, write_number
from service.kafka import Headers
from streams.records.compression import LZ4, compressed
from streams.records.layout import AFTER_LENGTH, BATCH, CRC_AT, CRC_FROM, MAGIC, TRANSACTIONAL, Bytes, Integers
from streams.records.reader import read_headers

MOST_BATCH_BYTES: Final = 900_000
"""Of the records of a batch before compression; a topic takes about a million bytes by default (max.message.bytes)."""
_LONGEST_VARINT: Final = 10
RECORD_OVERHEAD: Final = 8 * _LONGEST_VARINT
"""What a record takes beside its key, value and headers, at most."""


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

    @classmethod
    def concatenated(cls, parts: Sequence["OutputRecords"]) -> "OutputRecords":
        """Join several sequences."""
        columns = zip(*((part.keys, part.values, part.headers) for part in parts), strict=True)
        return cls(*map(ByteStrings.concatenated, columns))

    def take(self, rows: npt.NDArray[np.int64]) -> "OutputRecords":
        """Return some of the records."""
        return OutputRecords(self.keys.take(rows), self.values.take(rows), self.headers.take(rows))

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[OutputRecord]:
        for key, value, headers in zip(self.keys, self.values, self.headers, strict=True):
            yield OutputRecord(key, value, None if headers is None else [*read_headers(headers)])


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
        at = copy(out, at, named, 0, len(named))
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
        return BATCH.size + len(self._section)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes:
        length = self.size() - AFTER_LENGTH
        fields = (self._attributes, self._records - 1, self._timestamp_ms, self._timestamp_ms, *self._producer)
        batch = bytearray(BATCH.pack(0, length, -1, MAGIC, 0, *fields, self._records))
        batch += self._section
        struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[CRC_FROM:]))
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
        attributes = LZ4 | (TRANSACTIONAL if in_transaction else 0)
        batches.append(RecordBatch(compressed(out[:used].tobytes()), end - first, timestamp_ms, attributes))
        first = end
    return batches


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
            at = copy(out, at, header_buffer, headers[row, 0], headers[row, 1])
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
    if span[0] < 0:
        return _write_varint(out, at, -1)
    return copy(out, _write_varint(out, at, span[1] - span[0]), buffer, span[0], span[1])


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
