"""From JSON bytes to columns and rejects: the acceptance rules of the event contract live here, once.

Events of plain shape, which nearly all are, are scanned in one pass over the bytes of a fetch (`model.core.scan`). The
others are decoded together by msgspec; only when that fails, or something in them looks odd, is each validated by
itself (`model.validate`), as every impression is. All ways accept the same records, which a test checks on generated
input.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from model.batch import EventBatch, EventLike, OwnColumns, batch_of, number_codes
from model.core.byte_strings import ByteStrings
from model.core.scan import FIELDS, scan_events, scan_own
from model.core.shop_tables import NO_TABLES, ShopTables
from model.core.texts import TEXT, TEXTS, EventTexts
from model.events import (
    IDENTIFY,
    IMPRESSION,
    MAX_EVENT_TIME_MS,
    MAX_ID_BYTES,
    MAX_NESTING,
    MIN_EVENT_TIME_MS,
    parse_time_ms,
)
from model.shop import NO_SHOP, Shop
from model.text import TOKENS, token_codes
from model.validate import InvalidEvent, Reject, WireEvent, validate_event

_DECODER: Final = msgspec.json.Decoder(WireEvent)
_MAY_BE_SHOWN: Final = b'"%s"' % IMPRESSION.encode()
"""What an impression holds, unless it is written with escapes."""
_MAX_ID_CHARACTERS: Final = MAX_ID_BYTES // 4
"""Ids up to this length cannot exceed the limit in UTF-8; longer ones are measured one by one."""


def decode_events(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    tables: ShopTables = NO_TABLES,
    *,
    any_year: bool = False,
) -> tuple[EventBatch, list[Reject]]:
    """Decode the values of records, and check that each record's key is its event's user id (unless `keys` is None).

    Every position is in exactly one of the two results; both are in order. With a shop's tables, its own types and
    attributes are read. `any_year` is as in `validate_event`.
    """
    if not values:
        return batch_of([], shop=tables.shop), []
    scanned, plain = _scan(values, keys, tables)
    if plain.all():
        return scanned, []
    parts, rejects = [scanned.take(np.flatnonzero(plain))], list[Reject]()
    for rows in _apart(values, np.flatnonzero(~plain)):
        some = rows.tolist()
        some_keys = None if keys is None else [keys[row] for row in some]
        batch, refused = _decode_odd([values[row] for row in some], some_keys, tables, any_year)
        parts.append(replace(batch, positions=rows[batch.positions]))
        rejects += [replace(each, position=int(rows[each.position])) for each in refused]
    decoded = EventBatch.concatenated(parts)
    return decoded.take(np.argsort(decoded.positions)), sorted(rejects, key=attrgetter("position"))


def _apart(values: Sequence[bytes | None], rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Divide rows into those that may be impressions and the others, which can be decoded together."""
    is_shown = np.array([_MAY_BE_SHOWN in (values[row] or b"") for row in rows.tolist()], np.bool_)
    return [part for part in (rows[~is_shown], rows[is_shown]) if len(part)]


def _scan(
    values: Sequence[bytes | None], keys: Sequence[bytes | None] | None, tables: ShopTables
) -> tuple[EventBatch, npt.NDArray[np.bool_]]:
    """Return a batch of all records, and which of them were scanned `(records,)`; the others' columns mean nothing."""
    records, read = len(values), ByteStrings.of(values)
    given = ByteStrings.of(() if keys is None else keys)
    spans = np.empty((records, FIELDS, 2), np.int64)
    types, times_ms = np.empty(records, np.uint8), np.empty(records, np.int64)
    numbers, hashes = np.empty((records, 2)), np.empty(records, np.uint64)
    codes = np.empty((records, 2), np.uint32)
    identifies, plain = np.empty(records, np.bool_), np.empty(records, np.bool_)
    is_text_valid = _is_utf8(read.buffer)
    strings = (read.buffer, read.spans, given.buffer, given.spans)
    may_hold_objects = bool(tables.shop.attributes)
    scan_events(
        *strings,
        is_text_valid,
        may_hold_objects,
        spans,
        types,
        times_ms,
        numbers,
        hashes,
        codes,
        identifies,
        plain,
    )
    texts, own = np.ascontiguousarray(spans[:, :TEXTS]), None
    if tables.shop.has_own_events:
        own_spans, own = _scan_own(read, spans, plain, tables)
        types, texts = tables.behaves[own.types], np.concatenate((texts, own_spans), axis=1)
    batch = EventBatch(
        positions=np.arange(records),
        texts=EventTexts(read.buffer, texts),
        type_codes=types,
        event_time_ms=times_ms,
        prices=numbers[:, 0].copy(),
        event_hashes=hashes,
        item_codes=codes[:, 0].copy(),
        category_codes=codes[:, 1].astype(np.uint16),
        token_codes=_token_codes(read.buffer, spans[:, TEXT], numbers[:, 1], plain),
        identifies=identifies,
        own=own,
    )
    return batch, plain


def _scan_own(
    read: ByteStrings, spans: npt.NDArray[np.int64], plain: npt.NDArray[np.bool_], tables: ShopTables
) -> tuple[npt.NDArray[np.int64], OwnColumns]:
    """Return where the attributes of plain records lie `(records, attributes, 2)`, and the columns of what is own.

    Takes `plain` back where a value is not plain.
    """
    records, shop = len(plain), tables.shop
    types, labels = np.zeros(records, np.uint8), np.zeros((records, len(shop.categorical)), np.uint8)
    own_spans = np.full((records, len(shop.attributes), 2), -1, np.int64)
    numbers = np.full((records, len(shop.numeric)), np.nan)
    scan_own(
        read.buffer,
        read.spans,
        spans,
        tables.types.names,
        tables.types.lengths,
        tables.objects.names,
        tables.objects.lengths,
        tables.names.names,
        tables.names.lengths,
        tables.entries,
        tables.columns,
        types,
        own_spans,
        labels,
        numbers,
        plain,
    )
    return own_spans, OwnColumns(types, tables.type_hashes[types], labels, number_codes(numbers))


def _is_utf8(buffer: npt.NDArray[np.uint8]) -> bool:
    """Whether all of the bytes are UTF-8; a line feed follows each string, so that no character spans two of them."""
    text = buffer.tobytes()
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _token_codes(
    buffer: npt.NDArray[np.uint8],
    spans: npt.NDArray[np.int64],
    ratings: npt.NDArray[np.float64],
    plain: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint16]:
    """Return the token codes `(records, TOKENS)` of those records that have words or a rating."""
    codes = np.zeros((len(spans), TOKENS), np.uint16)
    worded = np.flatnonzero(plain & ((spans[:, 0] >= 0) | ~np.isnan(ratings)))
    if len(worded):
        texts = EventTexts(buffer, spans[worded][:, None]).strings(0)
        given = [None if math.isnan(rating) else rating for rating in ratings[worded].tolist()]
        codes[worded] = token_codes(texts, given)
    return codes


def _decode_odd(
    values: Sequence[bytes | None], keys: Sequence[bytes | None] | None, tables: ShopTables, any_year: bool
) -> tuple[EventBatch, list[Reject]]:
    one_event = partial(validate_event, places=tables.places, any_year=any_year)
    if tables.shop.attributes:
        return decode_each(values, keys, one_event, tables.shop)
    batch = _decode_joined(values, tables.shop)
    if batch is not None and (keys is None or [user_id.encode() for user_id in batch.user_ids] == list(keys)):
        return batch, []
    return decode_each(values, keys, one_event, tables.shop)


def decode_each(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    one_event: Callable[[bytes | None], EventLike],
    shop: Shop = NO_SHOP,
) -> tuple[EventBatch, list[Reject]]:
    """Decode records one by one, as `decode_events` promises; `one_event` returns the event or raises InvalidEvent."""
    events, positions, rejects = list[EventLike](), list[int](), list[Reject]()
    for position, value in enumerate(values):
        try:
            event = one_event(value)
            if keys is not None and keys[position] != event.user_id.encode():
                raise InvalidEvent("key", "the record's key is not the event's user_id")
        except InvalidEvent as invalid:
            rejects.append(Reject(position, invalid.reason, invalid.error))
        else:
            events.append(event)
            positions.append(position)
    return batch_of(events, np.array(positions, np.int64), shop=shop), rejects


def _decode_joined(values: Sequence[bytes | None], shop: Shop) -> EventBatch | None:
    """Decode all values at once, or return None if any of them must be validated by itself.

    Why no record can hide in its neighbours: each value starts with `{`, ends with `}` and holds no line feed. One
    left open would have to go on after `}` and a line feed with `{`, which JSON forbids inside an object, an array
    and a string alike; and a value of two objects makes the count wrong.
    """
    try:
        joined = b"\n".join(values)  # type: ignore[arg-type] # a tombstone (None) raises TypeError: a closer look
        joined.decode()  # the decoder does not check the text that it skips
        if not _is_one_object_per_line(joined, len(values)) or _may_nest_too_deep(joined, values):
            return None
        events = _DECODER.decode_lines(joined)
        if len(events) != len(values):
            return None
        for event in events:
            if event.ts.__class__ is not int:
                event.ts = parse_time_ms(event.ts)  # type: ignore[arg-type]
        if not all(event.type and event.type != IMPRESSION and _has_plain_identity(event) for event in events):
            return None
        batch = batch_of(events, shop=shop)
    except (TypeError, ValueError, RecursionError, OverflowError):
        # msgspec's and Unicode's decoding errors are ValueErrors; a `ts` beyond 64 bits overflows its column
        return None
    return batch if _all_valid(batch) else None


def _has_plain_identity(event: WireEvent) -> bool:
    """Whether what an event says of two ids is surely right."""
    return event.type != IDENTIFY and len(event.anonymous_id or "") <= _MAX_ID_CHARACTERS


def _is_one_object_per_line(joined: bytes, lines: int) -> bool:
    return (
        joined.startswith(b"{") and joined.endswith(b"}") and joined.count(b"\n") == lines - 1 == joined.count(b"}\n{")
    )


def _may_nest_too_deep(joined: bytes, values: Sequence[bytes | None]) -> bool:
    """Whether any value has enough opening brackets to nest too deep; the joined bytes decide nearly every batch."""
    if joined.count(b"[") + joined.count(b"{") < len(values) + MAX_NESTING:
        return False
    return any(value.count(b"[") + value.count(b"{") > MAX_NESTING for value in values if value)


def _all_valid(batch: EventBatch) -> bool:
    times, prices = batch.event_time_ms, batch.prices
    return bool(
        times.min() >= MIN_EVENT_TIME_MS
        and times.max() < MAX_EVENT_TIME_MS
        and not ((prices < 0) | np.isinf(prices)).any()
        and all(batch.user_ids)
        and all(batch.event_ids)
        and max(map(len, batch.user_ids)) <= _MAX_ID_CHARACTERS
        and max(map(len, batch.event_ids)) <= _MAX_ID_CHARACTERS
        and max((len(item) for item in batch.item_ids if item), default=0) <= _MAX_ID_CHARACTERS
        and max((len(category) for category in batch.categories if category), default=0) <= _MAX_ID_CHARACTERS
    )
