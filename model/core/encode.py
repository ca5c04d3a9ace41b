"""From columns to the JSON of scores: texts are copied as the events had them, numbers are written into one buffer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from model.core.texts import (
    ANONYMOUS_ID,
    CATEGORY,
    CHANNEL,
    EVENT_ID,
    ITEM_ID,
    PRICE,
    QUANTITY,
    RATING,
    TEXT,
    TEXTS,
    USER_ID,
    EventTexts,
)
from model.events import EVENT_TYPES, STORED_TYPES, propensity_field
from model.shop import Shop
from model.text import MAX_CHARACTERS

Bytes = npt.NDArray[np.uint8]
Bounds = npt.NDArray[np.int64]

LONGEST_NUMBER: Final = 20
_MILLIONTHS: Final = 1_000_000
_NULL: Final = np.frombuffer(b"null", np.uint8)
_ZERO, _NINE, _DOT, _MINUS, _QUOTE, _BACKSLASH, _U, _COMMA, _CLOSE = (np.uint8(ord(each)) for each in '09.-"\\u,}')
_CONTINUES, _CONTINUED = np.uint8(0b1100_0000), np.uint8(0b1000_0000)
"""The bits of a byte that say whether it goes on with a character of UTF-8, and that it does."""
_OF_SOME_EVENTS: Final = tuple(b',"%s":' % name for name in (b"quantity", b"rating", b"text", b"anonymous_id"))
_QUANTITY_NAME, _RATING_NAME, _TEXT_NAME, _ANONYMOUS_NAME = (np.frombuffer(name, np.uint8) for name in _OF_SOME_EVENTS)
_AROUND_TEXTS: Final = TEXTS * max(len(_NULL), len('""'), len(".0")) + sum(map(len, _OF_SOME_EVENTS))
"""The most bytes of a score that stand around the event's texts, or in place of them."""
_ATTRIBUTES: Final = np.frombuffer(b',"attributes":{', np.uint8)
_NAMES: Final = np.frombuffer("".join(STORED_TYPES).encode(), np.uint8)
_NAME_BOUNDS: Final = np.cumsum([0, *map(len, STORED_TYPES)])


@dataclass(frozen=True, slots=True)
class ScoreTemplate:
    """What stands between the values of a score, which is the same for all scores of a partition."""

    pieces: Bytes
    bounds: Bounds
    """Where each piece begins in `pieces` `(pieces + 1,)`."""
    horizons: int

    @classmethod
    def of(cls, horizons: Sequence[str], *, model: str, source_topic: str, source_partition: int) -> Self:
        """Make that of a model; the order is that of the fields of `model.events.Score`."""
        encode = msgspec.json.encode
        source = (
            b',"model":' + encode(model) + b',"source_topic":' + encode(source_topic) + b',"source_partition":%d'
        ) % source_partition
        pieces = [
            *(b'{"user_id":', b',"event_id":', b',"event_type":"', b'","item_id":', b',"category":', b',"price":'),
            b',"event_time":',
            *(b',"%s":' % propensity_field(horizon).encode() for horizon in horizons),
            source + b',"source_offset":',
            *(b',"scored_at":', b',"channel":', b',"source_timestamp":', b"}"),
        ]
        return cls(np.frombuffer(b"".join(pieces), np.uint8), np.cumsum([0, *map(len, pieces)]), len(horizons))


def encode_scores(  # noqa: PLR0913, PLR0917 - the columns of a score
    template: ScoreTemplate,
    texts: EventTexts,
    types: npt.NDArray[np.uint8],
    times_ms: npt.NDArray[np.int64],
    propensities: npt.NDArray[np.float32],
    extra: ByteStrings,
    offsets: npt.NDArray[np.int64],
    timestamps_ms: npt.NDArray[np.int64],
    scored_at_ms: int,
) -> ByteStrings:
    """Return the JSON of each score.

    Every column has one entry per score, `propensities` `(scores, horizons)`; `extra` are further fields, each with a
    comma before it, which follow the propensities, or None. Quantity, rating, words and
    anonymous id are there only if the event has them; of a text its first MAX_CHARACTERS.
    """
    scores = len(types)
    text_bytes = int(texts.spans[:, :, 1].sum() - texts.spans[:, :, 0].sum())
    fixed_bytes = len(template.pieces) + max(map(len, STORED_TYPES)) + (4 + template.horizons) * LONGEST_NUMBER
    fixed_bytes += _AROUND_TEXTS
    out = np.empty(scores * fixed_bytes + text_bytes + len(extra.buffer), np.uint8)
    ends = np.empty(scores, np.int64)
    used = write_scores(
        template.pieces,
        template.bounds,
        texts.buffer,
        texts.spans,
        types,
        times_ms,
        propensities,
        extra.buffer,
        extra.spans,
        offsets,
        timestamps_ms,
        scored_at_ms,
        out,
        ends,
    )
    return ByteStrings.of_bounds(out[:used], ends)


@dataclass(frozen=True, slots=True)
class OwnFields:
    """The fields of a score that a shop's definition adds: `custom_type` with types, `attributes` with attributes."""

    types: ByteStrings
    """The JSON of each type's field, with a comma before it; null for built-in types."""
    names: ByteStrings
    """What stands before each attribute's value."""
    is_text: npt.NDArray[np.bool_]
    """Whether each attribute's values are texts `(attributes,)`."""

    @classmethod
    def of(cls, shop: Shop) -> Self:
        """Make those of a definition."""
        encode = msgspec.json.encode
        names = [None if name in EVENT_TYPES else name for name in shop.event_types]
        return cls(
            ByteStrings.of([b',"custom_type":%s' % encode(name) for name in names] if shop.types else []),
            ByteStrings.of([b"%s:" % encode(name) for name in shop.attributes]),
            np.array([attribute.kind == "categorical" for attribute in shop.attributes.values()], np.bool_),
        )

    def written(self, texts: EventTexts, own_types: npt.NDArray[np.uint8]) -> ByteStrings:
        """Return the fields of each score, each with a comma before it; `own_types` are codes of `Shop.event_types`."""
        scores, attributes = len(own_types), len(self.is_text)
        lengths = np.maximum(texts.spans[:, TEXTS:, 1] - texts.spans[:, TEXTS:, 0], 0)
        longest_type = int((self.types.spans[:, 1] - self.types.spans[:, 0]).max(initial=0))
        fixed_bytes = longest_type + len(_ATTRIBUTES) + 1 + len(self.names.buffer) + 3 * attributes
        out, ends = np.empty(scores * fixed_bytes + int(lengths.sum()), np.uint8), np.empty(scores, np.int64)
        used = write_own_fields(
            self.types.buffer,
            self.types.spans,
            self.names.buffer,
            self.names.spans,
            self.is_text,
            texts.buffer,
            texts.spans,
            own_types,
            out,
            ends,
        )
        return ByteStrings.of_bounds(out[:used], ends)


@compiled
def write_own_fields(  # noqa: PLR0913, PLR0917 - what the definition says, and the columns of scores
    types: Bytes,
    type_spans: Bounds,
    names: Bytes,
    name_spans: Bounds,
    is_text: npt.NDArray[np.bool_],
    buffer: Bytes,
    spans: Bounds,
    own_types: npt.NDArray[np.uint8],
    out: Bytes,
    ends: npt.NDArray[np.int64],
) -> int:
    """Write the fields of every score to `out`, and where they end; returns the number of bytes written."""
    at = 0
    for row in range(len(own_types)):
        if len(type_spans) > 0:
            at = copy(out, at, types, type_spans[own_types[row], 0], type_spans[own_types[row], 1])
        if len(is_text) > 0:
            at = copy(out, at, _ATTRIBUTES, 0, len(_ATTRIBUTES))
            is_first = True
            for attribute in range(len(is_text)):
                span = spans[row, TEXTS + attribute]
                if span[0] < 0:
                    continue
                if not is_first:
                    out[at] = _COMMA
                    at += 1
                is_first = False
                at = copy(out, at, names, name_spans[attribute, 0], name_spans[attribute, 1])
                at = _text(out, at, buffer, span) if is_text[attribute] else copy(out, at, buffer, span[0], span[1])
            out[at] = _CLOSE
            at += 1
        ends[row] = at
    return at


@compiled
def write_scores(  # noqa: PLR0913, PLR0917 - the columns of a score
    pieces: Bytes,
    bounds: Bounds,
    buffer: Bytes,
    spans: Bounds,
    types: npt.NDArray[np.uint8],
    times_ms: npt.NDArray[np.int64],
    propensities: npt.NDArray[np.float32],
    extra: Bytes,
    extra_spans: Bounds,
    offsets: npt.NDArray[np.int64],
    timestamps_ms: npt.NDArray[np.int64],
    scored_at_ms: int,
    out: Bytes,
    ends: npt.NDArray[np.int64],
) -> int:
    """Write every score to `out`, one behind the other, and where it ends; returns the number of bytes written."""
    at = 0
    for row in range(len(types)):
        text = spans[row]
        at = _text(out, _piece(out, at, pieces, bounds, 0), buffer, text[USER_ID])
        at = _text(out, _piece(out, at, pieces, bounds, 1), buffer, text[EVENT_ID])
        at = _piece(out, at, pieces, bounds, 2)
        at = copy(out, at, _NAMES, _NAME_BOUNDS[types[row]], _NAME_BOUNDS[types[row] + 1])
        at = _text(out, _piece(out, at, pieces, bounds, 3), buffer, text[ITEM_ID])
        at = _text(out, _piece(out, at, pieces, bounds, 4), buffer, text[CATEGORY])
        at = _piece(out, at, pieces, bounds, 5)
        at = _as_written(out, at, buffer, text[PRICE])
        if max(text[QUANTITY, 0], text[RATING, 0], text[ANONYMOUS_ID, 0]) >= 0 or text[TEXT, 1] > text[TEXT, 0]:
            at = _of_some_events(out, at, buffer, text)
        at = write_number(out, _piece(out, at, pieces, bounds, 6), times_ms[row])
        piece = 7
        for horizon in range(propensities.shape[1]):
            at = _propensity(out, _piece(out, at, pieces, bounds, piece), propensities[row, horizon])
            piece += 1
        at = copy(out, at, extra, extra_spans[row, 0], extra_spans[row, 1])
        at = write_number(out, _piece(out, at, pieces, bounds, piece), offsets[row])
        at = write_number(out, _piece(out, at, pieces, bounds, piece + 1), scored_at_ms)
        at = _text(out, _piece(out, at, pieces, bounds, piece + 2), buffer, text[CHANNEL])
        at = write_number(out, _piece(out, at, pieces, bounds, piece + 3), timestamps_ms[row])
        at = _piece(out, at, pieces, bounds, piece + 4)
        ends[row] = at
    return at


@compiled
def _of_some_events(out: Bytes, at: int, buffer: Bytes, text: Bounds) -> int:
    """Write quantity, rating, words and anonymous id, those of them that the event has.

    Apart from the loop, which its code would slow by a tenth for events that have none of them.
    """
    if text[QUANTITY, 0] >= 0:
        at = _as_written(out, copy(out, at, _QUANTITY_NAME, 0, len(_QUANTITY_NAME)), buffer, text[QUANTITY])
    if text[RATING, 0] >= 0:
        at = _as_written(out, copy(out, at, _RATING_NAME, 0, len(_RATING_NAME)), buffer, text[RATING])
    if text[TEXT, 1] > text[TEXT, 0]:
        at = _words(out, copy(out, at, _TEXT_NAME, 0, len(_TEXT_NAME)), buffer, text[TEXT])
    if text[ANONYMOUS_ID, 0] >= 0:
        at = _text(out, copy(out, at, _ANONYMOUS_NAME, 0, len(_ANONYMOUS_NAME)), buffer, text[ANONYMOUS_ID])
    return at


@compiled
def _piece(out: Bytes, at: int, pieces: Bytes, bounds: Bounds, piece: int) -> int:
    return copy(out, at, pieces, bounds[piece], bounds[piece + 1])


@compiled
def copy(out: Bytes, at: int, source: Bytes, start: int, end: int) -> int:
    """Write bytes of a source; returns where they end."""
    to, since = np.uint64(at), np.uint64(start)  # indices without a sign, of which none counts from the end
    for place in range(np.uint64(end - start)):
        out[to + place] = source[since + place]
    return at + end - start


@compiled
def _text(out: Bytes, at: int, buffer: Bytes, span: npt.NDArray[np.int64]) -> int:
    """Write a string, or null if there is none."""
    if span[0] < 0:
        return copy(out, at, _NULL, 0, len(_NULL))
    out[at] = _QUOTE
    at = copy(out, at + 1, buffer, span[0], span[1])
    out[at] = _QUOTE
    return at + 1


@compiled
def _words(out: Bytes, at: int, buffer: Bytes, span: npt.NDArray[np.int64]) -> int:
    """Write a string of at most MAX_CHARACTERS."""
    out[at] = _QUOTE
    at = copy(out, at + 1, buffer, span[0], _text_end(buffer, span[0], span[1]))
    out[at] = _QUOTE
    return at + 1


@compiled
def _text_end(buffer: Bytes, start: int, end: int) -> int:
    """Return where the first MAX_CHARACTERS characters of a JSON string end; an escape is one of them."""
    if end - start <= MAX_CHARACTERS:
        return end
    for _ in range(MAX_CHARACTERS):
        if start < end and buffer[start] == _BACKSLASH:
            start += 6 if buffer[start + 1] == _U else 2
        else:
            start += 1
        while start < end and buffer[start] & _CONTINUES == _CONTINUED:
            start += 1
    return min(start, end)


@compiled
def _as_written(out: Bytes, at: int, buffer: Bytes, span: npt.NDArray[np.int64]) -> int:
    """Write a number with the digits that the event had, and .0 behind a whole one, or null if there is none."""
    if span[0] < 0:
        return copy(out, at, _NULL, 0, len(_NULL))
    is_whole = True
    for place in range(span[0], span[1]):
        is_whole &= buffer[place] == _MINUS or _ZERO <= buffer[place] <= _NINE
    at = copy(out, at, buffer, span[0], span[1])
    if is_whole:
        out[at], out[at + 1] = _DOT, _ZERO
        at += 2
    return at


@compiled
def write_number(out: Bytes, at: int, number: int) -> int:
    """Write a whole number that is not negative."""
    digits, rest = 1, number // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for place in range(digits - 1, -1, -1):
        out[at + place] = _ZERO + np.uint8(number % 10)
        number //= 10
    return at + digits


@compiled
def _propensity(out: Bytes, at: int, propensity: np.float32) -> int:
    """Write a propensity as `model.propensities.published` rounds it, NaN as null."""
    if np.isnan(propensity):
        return copy(out, at, _NULL, 0, len(_NULL))
    millionths = np.int64(min(max(np.rint(np.float64(propensity) * _MILLIONTHS), 1.0), _MILLIONTHS - 1.0))
    out[at] = _ZERO
    out[at + 1] = _DOT
    for place in range(7, 1, -1):
        out[at + place] = _ZERO + np.uint8(millionths % 10)
        millionths //= 10
    return at + 8
