"""Reading record batches: from the bytes of a fetch response to columns."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from aiokafka.errors import CorruptRecordException
from aiokafka.record.util import calc_crc32c

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from streams.records.compression import CODECS, MOST_UNPACKED_BYTES, decompressed
from streams.records.layout import (
    AFTER_LENGTH,
    BATCH,
    CODEC,
    CONTROL,
    CRC_AT,
    CRC_FROM,
    LOG_APPEND_TIME,
    MAGIC,
    TRANSACTIONAL,
    Bytes,
    Integers,
)

_ABORT: Final = 0


class UnreadableBatchError(Exception):
    """A batch is as it was sent, and no records can be had of it: damaged, or too large when it is unpacked."""


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
        return bool(self.attributes & CONTROL)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    def is_abort_marker(self) -> bool:
        """Whether this control batch ends a transaction that was given up."""
        key = read_batches([self]).keys[0] or b""
        return len(key) >= 4 and struct.unpack_from(">hh", key)[1] == _ABORT

    def check(self) -> None:
        """Raise CorruptRecordException if these are not the bytes that the producer wrote."""
        (crc,) = struct.unpack_from(">I", self.data, CRC_AT)
        if crc != calc_crc32c(self.data[CRC_FROM:]):
            raise CorruptRecordException(f"the batch at offset {self.base_offset} has another checksum than it says")

    @property
    def packed(self) -> memoryview:
        """The records' bytes, compressed if they are."""
        return self.data[BATCH.size :]

    def section(self) -> bytes | memoryview:
        """Return the records' bytes, decompressed.

        Takes no more memory than MOST_UNPACKED_BYTES, and a copy of what it returns. Raises UnreadableBatchError, and
        CorruptRecordException for an unknown codec.
        """
        codec = self.attributes & CODEC
        if not codec:
            return self.packed
        if codec not in CODECS:
            raise CorruptRecordException(f"the batch at offset {self.base_offset} has unknown compression {codec}")
        section = decompressed(self.packed, codec)
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
        if batch.attributes & LOG_APPEND_TIME:
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
    while len(data) - at >= BATCH.size:
        base, length, _, magic, _, attributes, last, first_ms, highest_ms, producer, _, _, records = BATCH.unpack_from(
            data, at
        )
        if magic != MAGIC:
            raise CorruptRecordException(f"the batch at offset {base} has message format {magic}; Cartcast reads 2")
        end = at + AFTER_LENGTH + length
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
