"""From arrays to the bytes of output records."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.core.byte_strings import ByteStrings
from model.core.decode import decode_each
from model.core.encode import LONGEST_NUMBER, OwnFields, ScoreTemplate, encode_scores
from model.events import IMPRESSION_CODE, Event
from model.formats.records import Decode
from model.horizons import HORIZONS
from model.validate import InvalidEvent, Reject
from service.kafka import Headers, cut_dead_letter, dead_letter_headers, source_headers
from service.signatures import NO_SIGNATURES, SIGNATURE, Signatures
from streams.fetch import Fetch
from streams.records.writer import (
    MOST_BATCH_BYTES,
    RECORD_OVERHEAD,
    OutputRecord,
    OutputRecords,
    write_offset_headers,
    written_headers,
)

UNPACKED: Final = "unpacked"
"""Reason of a batch that is damaged, or too large when it is unpacked."""
FORGOTTEN: Final = "forgotten"
"""Reason of an event whose shopper is forgotten."""
WITHOUT_CONTENT: Final = frozenset({FORGOTTEN})
"""Reasons of dead letters that say where a record lay and hold nothing of it."""
_NOT_SCORED: Final = -1
_encode: Final = msgspec.json.Encoder().encode


def score_records(  # noqa: PLR0913 - a score says all of this
    fetch: Fetch,
    batch: EventBatch,
    rows: npt.NDArray[np.int64],
    propensities: npt.NDArray[np.float32],
    *,
    model: str,
    scored_at_ms: int,
    horizons: Sequence[str] = HORIZONS,
    extra: Mapping[str, Sequence[Any]] | None = None,
    own_fields: OwnFields | None = None,
    signatures: Signatures = NO_SIGNATURES,
) -> OutputRecords:
    """Return one record an accepted event, in source order.

    `rows` are the accepted rows of the batch in any order; `propensities` `(len(rows), len(horizons))`, and the columns
    of `extra`, which are the fields of the model's extra heads, belong to them; those of impressions are left out.
    `own_fields` are those of the shop with whose definition the batch was read.
    """
    order = np.argsort(rows)
    rows = rows[order]
    positions = batch.positions[rows]
    offsets = fetch.offsets[positions]
    texts = batch.texts.take(rows)
    is_scored = batch.type_codes[rows] != IMPRESSION_CODE
    parts = [_extra_fields(extra, np.where(is_scored, order, _NOT_SCORED))] if extra else []
    if own_fields is not None and batch.own is not None:
        parts.append(own_fields.written(texts, batch.own.types[rows]))
    if batch.shown is not None:
        parts.append(batch.shown.take(rows))
    template = ScoreTemplate.of(horizons, model=model, source_topic=fetch.topic, source_partition=fetch.partition)
    values = encode_scores(
        template,
        texts,
        batch.type_codes[rows],
        batch.event_time_ms[rows],
        propensities[order],
        _side_by_side(parts, len(rows)),
        offsets,
        fetch.timestamps_ms[positions],
        scored_at_ms,
    )
    return OutputRecords(fetch.keys.take(positions), values, result_headers(fetch, offsets, values, signatures))


def result_headers(
    fetch: Fetch, offsets: npt.NDArray[np.int64], values: ByteStrings, signatures: Signatures
) -> ByteStrings:
    """Return what names each result's source record, and its signature and trace headers if it has some."""
    if not fetch.traces and not signatures:
        return source_header_columns(fetch, offsets)
    headers = list[bytes]()
    for offset, value in zip(offsets.tolist(), values, strict=True):
        signed = [(SIGNATURE, signatures.of(value or b""))] if signatures else []
        source = source_headers(fetch.topic, fetch.partition, offset)
        headers.append(written_headers([*source, *signed, *fetch.traces.get(offset, ())]))
    return ByteStrings.of(headers)


def source_header_columns(fetch: Fetch, offsets: npt.NDArray[np.int64]) -> ByteStrings:
    """Return the headers that name source records."""
    topic, partition, (name, _) = source_headers(fetch.topic, fetch.partition, 0)
    named = np.frombuffer(written_headers([topic, partition, (name, b"")]), np.uint8)
    out, ends = np.empty(len(offsets) * (len(named) + LONGEST_NUMBER), np.uint8), np.empty(len(offsets), np.int64)
    write_offset_headers(named[:-1], offsets, out, ends)
    return ByteStrings.of_bounds(out, ends)


def _extra_fields(extra: Mapping[str, Sequence[Any]], order: npt.NDArray[np.int64]) -> ByteStrings:
    """Return the JSON of each score's extra fields, with a comma before each; none where `order` is _NOT_SCORED."""
    return ByteStrings.of(
        [
            b"".join(
                b',"%s":%s' % (name.encode(), _encode(column[place])) for name, column in extra.items() if place >= 0
            )
            for place in order.tolist()
        ]
    )


def _side_by_side(parts: Sequence[ByteStrings], scores: int) -> ByteStrings:
    """Return each score's fields of all parts."""
    if len(parts) < 2:
        return parts[0] if parts else ByteStrings.none(scores)
    return ByteStrings.of([b"".join(field or b"" for field in fields) for fields in zip(*parts, strict=True)])


def dead_letter_records(fetch: Fetch, rejects: list[Reject]) -> OutputRecords:
    """Return one record a reject: key and value as received, headers that say where it lay and what is wrong.

    For reasons in WITHOUT_CONTENT it has neither key nor value.

    What is too large for a batch is cut, because the worker cannot take back what a topic refuses; and so is a batch
    that nobody can read.
    """
    return OutputRecords.of([_dead_letter(fetch, reject) for reject in rejects])


def _dead_letter(fetch: Fetch, reject: Reject) -> OutputRecord:
    key, value = fetch.keys[reject.position], fetch.values[reject.position]
    if reject.reason in WITHOUT_CONTENT:
        key = value = None
    source = source_headers(fetch.topic, fetch.partition, int(fetch.offsets[reject.position]))
    headers = dead_letter_headers(source, reason=reject.reason, error=reject.error)
    if fetch.error or _record_bytes(key, value, headers) > MOST_BATCH_BYTES:
        key, value, headers = cut_dead_letter(key, value, headers)
    return OutputRecord(key, value, headers)


def _record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    return len(key or b"") + len(value or b"") + len(written_headers(headers)) + RECORD_OVERHEAD


def decode_unreadable(fetch: Fetch) -> Decode:
    """Return what decodes a batch whose records cannot be had: to one reject of reason UNPACKED."""

    def one_event(_value: bytes | None) -> Event:
        raise InvalidEvent(UNPACKED, fetch.error)

    return partial(decode_each, one_event=one_event)
