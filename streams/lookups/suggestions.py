"""From ranked items to the JSON of `answers.Suggestion`, many shoppers in one compiled call."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from model.core.encode import copy, write_number
from model.core.rank_items import REASONS, Rankings
from model.events import EVENT_TYPES
from model.sequence import ID_BITS

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

_NEW_BELOW: Final = 5
"""An item with fewer events to learn from is new."""
_TEN_THOUSANDTHS: Final = 10_000
_LARGEST_NUMBER: Final = 1e11
_HASH_DIGITS: Final = ID_BITS // 4
_ZERO, _DOT, _MINUS, _QUOTE, _BACKSLASH, _COMMA, _N, _OPEN, _CLOSE, _END_OF_OBJECT = (
    np.uint8(ord(each)) for each in '0.-"\\,n[]}'
)
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


def _literal(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


_NULL: Final = _literal("null")
_ITEM_ID, _SCORE, _TITLE, _CATEGORY, _PRICE, _WHY, _END = map(
    _literal, ('{"item_id":', ',"score":', ',"title":', ',"category":', ',"price":', ',"why":[', "]}")
)
_PINNED, _BOOSTED, _POPULAR, _NEW = (_literal(f'{{"kind":"{kind}"') for kind in ("pinned", "boosted", "popular", "new"))
_EVENT, _TYPE, _HASH, _OF_ITEM, _CONTRIBUTION = map(
    _literal,
    ('{"kind":"event","event":{"event_time":', ',"type":"', '","event_hash":"', '"},"item_id":', ',"contribution":'),
)
_TYPE_NAMES: Final = _literal("".join(EVENT_TYPES))
_TYPE_BOUNDS: Final = np.cumsum([0, *map(len, EVENT_TYPES)])
_LONGEST_NUMBER: Final = 24
_AROUND_AN_ITEM: Final = sum(map(len, (_ITEM_ID, _SCORE, _TITLE, _CATEGORY, _PRICE, _WHY, _END))) + 1 + _LONGEST_NUMBER
_AROUND_A_REASON: Final = (
    sum(map(len, (_EVENT, _TYPE, _HASH, _OF_ITEM, _TITLE, _CONTRIBUTION)))
    + max(map(len, EVENT_TYPES))
    + _HASH_DIGITS
    + 2
    + 2 * _LONGEST_NUMBER
)
_MOST_REASONS: Final = 2 + REASONS


class Held(NamedTuple):
    """The events of contexts, each `(contexts, places)`."""

    times_s: Integers
    types: npt.NDArray[np.uint8]
    id_hashes: npt.NDArray[np.uint64]


class Said(NamedTuple):
    """What can be said of items, as `model.items.catalogue.View.said` has it."""

    buffer: Bytes
    ranked: Integers
    """`(contexts, most, 2)`"""
    held: Integers
    """Of the events' items `(contexts, places, 2)`."""


def written_suggestions(
    ranked: Rankings, held: Held, said: Said, boosts: npt.NDArray[np.float32], seen: Integers
) -> ByteStrings:
    """Return a JSON array of suggestions for each context.

    `boosts` `(items,)` are what the shop adds to the logits, if there is anything; `seen` `(items learnt from,)` how
    many events each item had.
    """
    longest_held = (said.held[..., 1] - said.held[..., 0]).max(axis=1, initial=0)  # (contexts,)
    each = (said.ranked[..., 1] - said.ranked[..., 0]).sum(axis=1)
    most = ranked.rows.shape[1]
    each += most * (_AROUND_AN_ITEM + _MOST_REASONS * _AROUND_A_REASON + REASONS * longest_held) + len("[]")
    out, ends = np.empty(int(each.sum()), np.uint8), np.empty(len(each), np.int64)
    used = write_suggestions(ranked, held, said, boosts, seen, out, ends)
    return ByteStrings.of_bounds(out[:used], ends)


@compiled
def write_suggestions(  # noqa: PLR0913, PLR0917 - plain arrays
    ranked: Rankings,
    held: Held,
    said: Said,
    boosts: npt.NDArray[np.float32],
    seen: Integers,
    out: Bytes,
    ends: Integers,
) -> int:
    """Write an array for each context, one behind the other, and where it ends; returns how many bytes they are."""
    at = 0
    for number in range(len(ranked.counts)):
        out[at] = _OPEN
        at += 1
        for place in range(ranked.counts[number]):
            if place > 0:
                out[at] = _COMMA
                at += 1
            at = _item(out, at, said.buffer, said.ranked[number, place], ranked.scores[number, place])
            at = _reasons(out, at, ranked, held, said, boosts, seen, number, place)
            at = copy(out, at, _END, 0, len(_END))
        out[at] = _CLOSE
        at += 1
        ends[number] = at
    return at


@compiled
def _item(out: Bytes, at: int, buffer: Bytes, span: Integers, score: np.float32) -> int:
    """Write what an item is, and begin its reasons."""
    start = span[0] + 1
    end = _value_end(buffer, start)
    at = copy(out, copy(out, at, _ITEM_ID, 0, len(_ITEM_ID)), buffer, start, end)
    at = _number(out, copy(out, at, _SCORE, 0, len(_SCORE)), score)
    start, end = end + 1, _value_end(buffer, end + 1)
    at = copy(out, copy(out, at, _TITLE, 0, len(_TITLE)), buffer, start, end)
    start, end = end + 1, _value_end(buffer, end + 1)
    at = copy(out, copy(out, at, _CATEGORY, 0, len(_CATEGORY)), buffer, start, end)
    at = copy(out, copy(out, at, _PRICE, 0, len(_PRICE)), buffer, end + 1, span[1] - 1)
    return copy(out, at, _WHY, 0, len(_WHY))


@compiled
def _reasons(  # noqa: PLR0913, PLR0917 - plain arrays
    out: Bytes,
    at: int,
    ranked: Rankings,
    held: Held,
    said: Said,
    boosts: npt.NDArray[np.float32],
    seen: Integers,
    number: int,
    place: int,
) -> int:
    """Write the rules that put an item there, then the events that raise it; if there are none, what else does."""
    row = ranked.rows[number, place]
    if ranked.is_pinned[number, place]:
        at = _ended(out, copy(out, at, _PINNED, 0, len(_PINNED)))
    first = at
    by = boosts[row] if len(boosts) > 0 else np.float32(0.0)
    if by != 0:
        at = copy(out, at, _BOOSTED, 0, len(_BOOSTED))
        at = _ended(out, _number(out, copy(out, at, _CONTRIBUTION, 0, len(_CONTRIBUTION)), by))
    for reason in range(REASONS):
        event = ranked.reasons[number, place, reason]
        if event >= 0:
            at = copy(out, at, _EVENT, 0, len(_EVENT))
            at = write_number(out, at, int(held.times_s[number, event]) * 1000)
            code = held.types[number, event]
            at = copy(out, at, _TYPE, 0, len(_TYPE))
            at = copy(out, at, _TYPE_NAMES, _TYPE_BOUNDS[code], _TYPE_BOUNDS[code + 1])
            at = _hexadecimal(out, copy(out, at, _HASH, 0, len(_HASH)), held.id_hashes[number, event])
            at = _named(out, at, said.buffer, said.held[number, event, 0] + 1)
            at = copy(out, at, _CONTRIBUTION, 0, len(_CONTRIBUTION))
            at = _ended(out, _number(out, at, ranked.contributions[number, place, reason]))
    if at == first:
        is_new = row >= len(seen) or seen[row] < _NEW_BELOW
        at = _ended(out, copy(out, at, _NEW, 0, len(_NEW)) if is_new else copy(out, at, _POPULAR, 0, len(_POPULAR)))
    return at - 1  # without the last comma


@compiled
def _named(out: Bytes, at: int, buffer: Bytes, start: int) -> int:
    """Write which item an event is of: its id and, if it has one, its title."""
    end = _value_end(buffer, start)
    at = copy(out, copy(out, at, _OF_ITEM, 0, len(_OF_ITEM)), buffer, start, end)
    start, end = end + 1, _value_end(buffer, end + 1)
    if buffer[start] == _N:
        return at
    return copy(out, copy(out, at, _TITLE, 0, len(_TITLE)), buffer, start, end)


@compiled
def _value_end(buffer: Bytes, at: int) -> int:
    """Return where a string or null ends that begins there."""
    if buffer[at] == _N:
        return at + len(_NULL)
    at += 1
    while buffer[at] != _QUOTE:
        at += 2 if buffer[at] == _BACKSLASH else 1
    return at + 1


@compiled
def _ended(out: Bytes, at: int) -> int:
    """End an object, and say that another one follows."""
    out[at], out[at + 1] = _END_OF_OBJECT, _COMMA
    return at + 2


@compiled
def _hexadecimal(out: Bytes, at: int, id_hash: np.uint64) -> int:
    """Write a hash as `model.sequence.hexadecimal` does."""
    for place in range(_HASH_DIGITS):
        shift = np.uint64(4 * (_HASH_DIGITS - 1 - place))
        out[at + place] = _DIGITS[np.int64((id_hash >> shift) & np.uint64(15))]
    return at + _HASH_DIGITS


@compiled
def _number(out: Bytes, at: int, number: np.float32) -> int:
    """Write a number as Python rounds it to four decimals: a float32's ten thousandths are exact in a float64."""
    size = abs(np.float64(number))
    if not size < _LARGEST_NUMBER:  # nor is one that is not a number
        return copy(out, at, _NULL, 0, len(_NULL))
    if np.signbit(number):
        out[at] = _MINUS
        at += 1
    parts = np.int64(np.rint(size * _TEN_THOUSANDTHS))
    at = write_number(out, at, int(parts // _TEN_THOUSANDTHS))
    out[at] = _DOT
    at += 1
    rest, digits = parts % _TEN_THOUSANDTHS, 4
    while digits > 1 and rest % 10 == 0:
        rest //= 10
        digits -= 1
    for place in range(digits - 1, -1, -1):
        out[at + place] = _ZERO + np.uint8(rest % 10)
        rest //= 10
    return at + digits
