"""A scanner for events of plain shape, which nearly all are: from the joined bytes of records to columns.

Plain are: a flat object; strings without escapes (in the words of a shopper, and in fields that are not read, escapes
may stand); numbers without exponent, of at most 15 digits; `context` a flat object, and with a shop's definition any
other field too; every field once; no impression. Whatever is not plain, or may be invalid, is left to `model.validate`,
which knows all rules; so this knows only what is surely right.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from model.attributes import LABELS
from model.core.compiled import compiled
from model.core.hashing import LONGEST, xxh3_64
from model.core.shop_tables import NameTable
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
)
from model.events import (
    IDENTIFY,
    IMPRESSION_CODE,
    MAX_EVENT_TIME_MS,
    MAX_ID_BYTES,
    MIN_EVENT_TIME_MS,
    OTHER,
    STORED_TYPES,
)

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int64]

TYPE, TIME, CONTEXT = range(TEXTS, TEXTS + 3)
"""Fields beside the texts that a score repeats; in `spans`, the first TEXTS are those."""
FIELDS: Final = TEXTS + 3
_UNKNOWN: Final = -1
_REQUIRED: Final = 1 << USER_ID | 1 << EVENT_ID | 1 << TYPE | 1 << TIME
_MAX_CHANNEL_BYTES: Final = 200
_MAX_DIGITS: Final = 15  # up to here a decimal number is the nearest double of digits / power of ten


_NOWHERE, _IN_CONTEXT, _ELSEWHERE = range(3)
"""Inside which object of the event the scanner is: none, the context, one that has nothing which is always read."""
_CATEGORICAL: Final = 1


def _table(names: tuple[str, ...]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    table = NameTable.of(names)
    return table.names, table.lengths


_FIELD_NAMES: Final = (
    *("user_id", "event_id", "item_id", "category", "channel", "text", "anonymous_id"),
    *("price", "quantity", "rating", "type", "ts", "context"),
)
_FIELD_TABLE, _FIELD_LENGTHS = _table(_FIELD_NAMES)
_TYPE_TABLE, _TYPE_LENGTHS = _table(STORED_TYPES)
_IDENTIFY: Final = np.frombuffer(bytearray(IDENTIFY.encode()), np.uint8)
_LITERAL_TABLE, _LITERAL_LENGTHS = _table(("null", "true", "false"))
_QUOTE, _BACKSLASH, _COLON, _COMMA, _DOT, _PLUS, _MINUS = (np.uint8(ord(character)) for character in '"\\:,.+-')
_OPEN, _CLOSE, _SPACE, _ZERO, _SEVEN, _NINE = (np.uint8(ord(character)) for character in "{} 079")
_UPPER_D, _LOWER_D, _UPPER_E, _LOWER_E, _N, _T, _U, _Z = (np.uint8(ord(letter)) for letter in "DdEenTuZ")
_ESCAPES: Final = np.isin(np.arange(256), [ord(character) for character in '"\\/bfnrt'])
_HEXADECIMAL: Final = np.isin(np.arange(256), [ord(character) for character in "0123456789abcdefABCDEF"])
_POWERS_OF_TEN: Final = 10.0 ** np.arange(_MAX_DIGITS + 1)
_NOT_A_TIME: Final = np.int64(-1)
_DAYS_BEFORE_MONTH: Final = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
_DAYS_OF_MONTH: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@compiled
def scan_events(  # noqa: PLR0913, PLR0917 - the records, and the columns of the result
    buffer: Bytes,
    values: Spans,
    keys: Bytes,
    key_spans: Spans,
    is_text_valid: bool,
    may_hold_objects: bool,
    spans: Spans,
    types: npt.NDArray[np.uint8],
    times_ms: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
    hashes: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.uint32],
    identifies: npt.NDArray[np.bool_],
    plain: npt.NDArray[np.bool_],
) -> None:
    """Fill the columns of every record that is a plain, valid event, and set `plain` for these.

    `values` `(records, 2)` are where the values start and end in `buffer`, each followed by a line feed, and -1 where
    there is none; `key_spans` the same of the keys, or empty if keys are not checked. `is_text_valid` says that all of
    `buffer` is UTF-8; if not, a record with anything but ASCII is not plain. `numbers` `(records, 2)` are price and
    rating, NaN for none; `codes` `(records, 2)` those of item and category. With `may_hold_objects`, flat objects in
    fields that are not read are plain.
    """
    for row in range(len(plain)):
        start, end = values[row]
        plain[row] = start >= 0 and _scan(
            buffer, start, end, is_text_valid, may_hold_objects, spans[row], times_ms[row : row + 1], numbers[row]
        )
        if not plain[row]:
            continue
        if len(key_spans) > 0 and not _is_equal(
            buffer, spans[row, USER_ID], keys, key_spans[row, 0], key_spans[row, 1]
        ):
            plain[row] = False
            continue
        types[row] = _type_code(buffer, spans[row, TYPE])
        name = spans[row, TYPE]
        identifies[row] = types[row] == OTHER and _is_name(buffer, name[0], name[1], _IDENTIFY, len(_IDENTIFY))
        if types[row] == IMPRESSION_CODE or (identifies[row] and spans[row, ANONYMOUS_ID, 0] < 0):
            plain[row] = False
            continue
        hashes[row] = max(xxh3_64(buffer, spans[row, EVENT_ID, 0], spans[row, EVENT_ID, 1]), np.uint64(1))
        codes[row, 0] = _code(buffer, spans[row, ITEM_ID])
        codes[row, 1] = _code(buffer, spans[row, CATEGORY]) & 0xFFFF


@compiled
def _scan(  # noqa: C901, PLR0911, PLR0912, PLR0913, PLR0915, PLR0917 - a grammar has many branches, each of them short
    buffer: Bytes,
    start: int,
    end: int,
    is_text_valid: bool,
    may_hold_objects: bool,
    spans: Spans,
    time_ms: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
) -> bool:
    """Scan one object; returns whether it is plain and valid. A line feed follows it, so that no look runs past it."""
    spans[:] = -1
    numbers[:] = np.nan
    seen, inside = 0, _NOWHERE
    at = start
    if buffer[at] != _OPEN:
        return False
    at = _skip_spaces(buffer, at + 1)
    while True:
        # The field's name. In the context only `channel` is read, and outside of it `channel` is not.
        if buffer[at] != _QUOTE:
            return False
        name_end = _string_end(buffer, at + 1, is_text_valid, False)
        if name_end < 0:
            return False
        field = _field(buffer, at + 1, name_end)
        if (field == CHANNEL) != (inside == _IN_CONTEXT) or inside == _ELSEWHERE:
            field = _UNKNOWN
        if field != _UNKNOWN:
            if seen >> field & 1:
                return False
            seen |= 1 << field
        at = _skip_spaces(buffer, name_end + 1)
        if buffer[at] != _COLON:
            return False
        at = _skip_spaces(buffer, at + 1)

        # Its value.
        value = at
        if buffer[at] == _QUOTE:
            if field in (PRICE, RATING, QUANTITY, CONTEXT):
                return False
            at = _string_end(buffer, value + 1, is_text_valid, field in (_UNKNOWN, TEXT)) + 1
            if at == 0:
                return False
            if field == TIME:
                time_ms[0] = _rfc3339_ms(buffer, value + 1, at - 1)
            elif field != _UNKNOWN:
                spans[field, 0], spans[field, 1] = value + 1, at - 1
        elif buffer[at] == _OPEN:
            if inside != _NOWHERE or (field != CONTEXT and not (may_hold_objects and field == _UNKNOWN)):
                return False
            inside = _IN_CONTEXT if field == CONTEXT else _ELSEWHERE
            at = _skip_spaces(buffer, at + 1)
            if buffer[at] != _CLOSE:
                continue
        elif buffer[at] == _MINUS or _ZERO <= buffer[at] <= _NINE:
            at = _number_end(buffer, value)
            if at < 0 or field not in (_UNKNOWN, PRICE, RATING, QUANTITY, TIME):
                return False
            if field == TIME:
                time_ms[0] = _whole_number(buffer, value, at)
            elif field != _UNKNOWN:
                if field == PRICE and buffer[value] == _MINUS:
                    return False
                spans[field, 0], spans[field, 1] = value, at
                if field == PRICE:
                    numbers[0] = _number(buffer, value, at)
                elif field == RATING:
                    numbers[1] = _number(buffer, value, at)
        else:
            at = _literal_end(buffer, value)
            is_null = buffer[value] == _N
            if at < 0 or (field != _UNKNOWN and (not is_null or _REQUIRED >> field & 1)):
                return False
            # null: as if the field were not there

        # What follows it.
        at = _skip_spaces(buffer, at)
        if inside != _NOWHERE and buffer[at] == _CLOSE:
            inside = _NOWHERE
            at = _skip_spaces(buffer, at + 1)
        if buffer[at] == _COMMA:
            at = _skip_spaces(buffer, at + 1)
        elif buffer[at] == _CLOSE and inside == _NOWHERE and at + 1 == end:
            return seen & _REQUIRED == _REQUIRED and bool(_is_valid(buffer, spans, time_ms[0]))
        else:
            return False


@compiled
def scan_own(  # noqa: PLR0913, PLR0917 - the records, a shop's tables, and the columns of the result
    buffer: Bytes,
    values: Spans,
    spans: Spans,
    types: Bytes,
    type_lengths: npt.NDArray[np.int64],
    objects: Bytes,
    object_lengths: npt.NDArray[np.int64],
    names: Bytes,
    name_lengths: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    own_types: npt.NDArray[np.uint8],
    own_spans: Spans,
    labels: npt.NDArray[np.uint8],
    numbers: npt.NDArray[np.float64],
    plain: npt.NDArray[np.bool_],
) -> None:
    """Fill the columns of what a shop defines of its own, of records that `scan_events` has found plain.

    The tables are those of `ShopTables`. `own_spans` `(records, attributes, 2)` are where the values lie, -1 where an
    attribute is unknown; `labels` and `numbers` `(records, attributes of the kind)` are codes of texts, and numbers.
    Takes `plain` back where a value is not plain.
    """
    found = np.empty((2, len(columns), 2), np.int64)
    for row in range(len(plain)):
        if not plain[row]:
            continue
        code = _row_of(buffer, spans[row, TYPE, 0], spans[row, TYPE, 1], types, type_lengths)
        own_types[row] = OTHER if code < 0 else code
        if len(columns) == 0:
            continue
        found[:] = -1
        plain[row] = _find_values(
            buffer, values[row, 0], objects, object_lengths, names, name_lengths, entries, found
        ) and _read_values(buffer, found, columns, own_spans[row], labels[row], numbers[row])


@compiled
def _find_values(  # noqa: C901, PLR0912, PLR0913, PLR0917 - a grammar has many branches, each of them short
    buffer: Bytes,
    start: int,
    objects: Bytes,
    object_lengths: npt.NDArray[np.int64],
    names: Bytes,
    name_lengths: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
    found: Spans,
) -> bool:
    """Store where each attribute's value lies in a plain object; returns whether each is plain and there once."""
    inside, seen = 0, np.uint64(0)
    at = _skip_spaces(buffer, start + 1)
    while True:
        name, name_end = at + 1, _string_end(buffer, at + 1, True, False)
        value = _skip_spaces(buffer, _skip_spaces(buffer, name_end + 1) + 1)
        is_object, is_string, is_null = buffer[value] == _OPEN, buffer[value] == _QUOTE, buffer[value] == _N

        # An object, or what stands in its place.
        opened = -1
        if inside == 0:
            opened = _row_of(buffer, name, name_end, objects, object_lengths)
            if opened >= 0:
                if seen >> np.uint64(opened) & np.uint64(1):
                    return False
                seen |= np.uint64(1) << np.uint64(opened)

        # The value of one attribute or of several.
        if is_object:
            at = value
        elif is_string:
            at = _string_end(buffer, value + 1, True, True) + 1
        elif buffer[value] == _MINUS or _ZERO <= buffer[value] <= _NINE:
            at = _number_end(buffer, value)
        else:
            at = _literal_end(buffer, value)
        for entry in range(len(entries)):
            if entries[entry, 0] != inside or not _is_name(buffer, name, name_end, names[entry], name_lengths[entry]):
                continue
            span = found[entries[entry, 2], entries[entry, 1]]
            if span[0] >= 0:
                return False
            if is_string and _has_escape(buffer, value + 1, at - 1):
                return False
            if not is_null:
                span[0], span[1] = value + is_string, at - is_string  # of an object nothing: it is unknown

        # What follows it.
        if is_object:
            at = _skip_spaces(buffer, value + 1)
            if buffer[at] != _CLOSE:
                inside = opened + 1 if opened >= 0 else -1
                continue
            at += 1
        at = _skip_spaces(buffer, at)
        if inside != 0 and buffer[at] == _CLOSE:
            inside = 0
            at = _skip_spaces(buffer, at + 1)
        if buffer[at] == _CLOSE:
            return True
        at = _skip_spaces(buffer, at + 1)


@compiled
def _read_values(  # noqa: PLR0913, PLR0917 - the tables, and the columns of the result
    buffer: Bytes,
    found: Spans,
    columns: npt.NDArray[np.int64],
    spans: Spans,
    labels: npt.NDArray[np.uint8],
    numbers: npt.NDArray[np.float64],
) -> bool:
    """Store the attributes of one event as `model.attributes` reads them; returns whether that is certain."""
    for attribute in range(len(columns)):
        spans[attribute] = found[0, attribute] if found[0, attribute, 0] >= 0 else found[1, attribute]
        start, end = spans[attribute]
        column = columns[attribute, 1]
        if columns[attribute, 0] == _CATEGORICAL:
            is_known = start >= 0 and 0 < end - start <= LONGEST
            labels[column] = xxh3_64(buffer, start, end) % np.uint64(LABELS - 1) + np.uint64(1) if is_known else 0
        else:
            is_known = start >= 0 and end > start and (buffer[start] == _MINUS or _ZERO <= buffer[start] <= _NINE)
            if is_known and _number_end(buffer, start) != end:
                return False
            numbers[column] = _number(buffer, start, end) if is_known else np.nan
        if not is_known:
            spans[attribute] = -1
    return True


@compiled
def _is_name(buffer: Bytes, start: int, end: int, name: Bytes, length: int) -> bool:
    if end - start != length:
        return False
    is_equal = True
    for place in range(length):
        is_equal &= buffer[start + place] == name[place]
    return is_equal


@compiled
def _has_escape(buffer: Bytes, start: int, end: int) -> bool:
    found = False
    for place in range(start, end):
        found |= buffer[place] == _BACKSLASH
    return found


@compiled
def _is_valid(buffer: Bytes, spans: Spans, time_ms: np.int64) -> np.bool_:
    """Whether ids are right and the time is in range; a channel or an anonymous id that says nothing is taken out."""
    user_bytes = spans[USER_ID, 1] - spans[USER_ID, 0]
    event_bytes = spans[EVENT_ID, 1] - spans[EVENT_ID, 0]
    if not (0 < user_bytes <= MAX_ID_BYTES and 0 < event_bytes <= LONGEST and spans[TYPE, 1] > spans[TYPE, 0]):
        return np.bool_(False)
    if max(spans[ITEM_ID, 1] - spans[ITEM_ID, 0], spans[CATEGORY, 1] - spans[CATEGORY, 0]) > LONGEST:
        return np.bool_(False)
    if spans[CHANNEL, 1] - spans[CHANNEL, 0] > _MAX_CHANNEL_BYTES:
        return np.bool_(False)
    if spans[CHANNEL, 1] == spans[CHANNEL, 0]:
        spans[CHANNEL] = -1
    if spans[ANONYMOUS_ID, 0] >= 0:
        start, end = spans[ANONYMOUS_ID]
        if end - start > MAX_ID_BYTES:
            return np.bool_(False)
        if end == start or _is_equal(buffer, spans[USER_ID], buffer, start, end):
            spans[ANONYMOUS_ID] = -1
    return np.bool_(MIN_EVENT_TIME_MS <= time_ms < MAX_EVENT_TIME_MS)


@compiled
def _skip_spaces(buffer: Bytes, at: int) -> int:
    while buffer[at] == _SPACE:
        at += 1
    return at


@compiled
def _string_end(buffer: Bytes, at: int, is_text_valid: bool, may_escape: bool) -> int:
    """Return the position of a string's closing quote, -1 if it is not plain."""
    while True:
        byte = buffer[at]
        if byte == _QUOTE:
            return at
        if byte < _SPACE or (byte > 127 and not is_text_valid):
            return -1
        if byte == _BACKSLASH:
            at = _escape_end(buffer, at + 1) if may_escape else -1
            if at < 0:
                return -1
        else:
            at += 1


@compiled
def _escape_end(buffer: Bytes, at: int) -> int:
    """Return what follows an escape, -1 if it is invalid or part of a surrogate pair; `at` is behind the backslash."""
    if _ESCAPES[buffer[at]]:
        return at + 1
    if buffer[at] != _U:
        return -1
    for place in range(1, 5):
        if not _HEXADECIMAL[buffer[at + place]]:
            return -1
    is_surrogate = buffer[at + 1] in (_LOWER_D, _UPPER_D) and not _ZERO <= buffer[at + 2] <= _SEVEN
    return -1 if is_surrogate else at + 5


@compiled
def _number_end(buffer: Bytes, at: int) -> int:
    """Return what follows a number, -1 if it is not plain."""
    at += buffer[at] == _MINUS
    whole = _digits_end(buffer, at)
    if whole == at or (buffer[at] == _ZERO and whole > at + 1):
        return -1
    end = whole
    if buffer[whole] == _DOT:
        end = _digits_end(buffer, whole + 1)
        if end == whole + 1:
            return -1
    if end - at > _MAX_DIGITS or buffer[end] in (_LOWER_E, _UPPER_E):
        return -1
    return end


@compiled
def _digits_end(buffer: Bytes, at: int) -> int:
    while _ZERO <= buffer[at] <= _NINE:
        at += 1
    return at


@compiled
def _number(buffer: Bytes, at: int, end: int) -> float:
    digits, decimals, is_fraction = np.int64(0), 0, False
    is_negative = buffer[at] == _MINUS
    for place in range(at + is_negative, end):
        if buffer[place] == _DOT:
            is_fraction = True
        else:
            digits = digits * 10 + np.int64(buffer[place] - _ZERO)
            decimals += is_fraction
    number = np.float64(digits) / _POWERS_OF_TEN[decimals]
    return float(-number if is_negative else number)


@compiled
def _whole_number(buffer: Bytes, at: int, end: int) -> np.int64:
    """Return a number of digits alone; -1 if anything else is in it."""
    number = np.int64(0)
    for place in range(at, end):
        if not _ZERO <= buffer[place] <= _NINE:
            return np.int64(-1)
        number = number * 10 + np.int64(buffer[place] - _ZERO)
    return number


@compiled
def _rfc3339_ms(buffer: Bytes, at: int, end: int) -> np.int64:
    """Return the epoch milliseconds of YYYY-MM-DDTHH:MM:SS[.digits](Z|+HH:MM|-HH:MM); -1 if it is not that."""
    milliseconds = _local_ms(buffer, at) if end - at >= 20 else _NOT_A_TIME
    zone = at + 19
    if milliseconds != _NOT_A_TIME and buffer[zone] == _DOT:
        zone = _digits_end(buffer, zone + 1)
        if zone == at + 20:
            return _NOT_A_TIME
        for place in range(at + 20, min(zone, at + 23)):
            milliseconds += np.int64(buffer[place] - _ZERO) * 10 ** (at + 22 - place)
    offset_ms = _offset_ms(buffer, zone, end) if milliseconds != _NOT_A_TIME else _NOT_A_TIME
    return milliseconds - offset_ms if offset_ms != _NOT_A_TIME else _NOT_A_TIME


@compiled
def _local_ms(buffer: Bytes, at: int) -> np.int64:
    """Return the milliseconds since 1970 on the clock of YYYY-MM-DDTHH:MM:SS; -1 if it is not that."""
    if not (
        buffer[at + 4] == _MINUS
        and buffer[at + 7] == _MINUS
        and buffer[at + 10] == _T
        and buffer[at + 13] == _COLON
        and buffer[at + 16] == _COLON
    ):
        return _NOT_A_TIME
    year, month = _whole_number(buffer, at, at + 4), _whole_number(buffer, at + 5, at + 7)
    day, hour = _whole_number(buffer, at + 8, at + 10), _whole_number(buffer, at + 11, at + 13)
    minute, second = _whole_number(buffer, at + 14, at + 16), _whole_number(buffer, at + 17, at + 19)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (year > 1970 and 1 <= month <= 12 and 0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return _NOT_A_TIME
    if not 1 <= day <= _DAYS_OF_MONTH[month - 1] + (is_leap and month == 2):
        return _NOT_A_TIME
    # Days since 1970-01-01 in the Gregorian calendar; 719,162 lie between it and the first day of the year 1.
    days = 365 * (year - 1) + (year - 1) // 4 - (year - 1) // 100 + (year - 1) // 400 - 719_162
    days += _DAYS_BEFORE_MONTH[month - 1] + (is_leap and month > 2) + day - 1
    return np.int64((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)


@compiled
def _offset_ms(buffer: Bytes, at: int, end: int) -> np.int64:
    """Return how far a zone, Z or +HH:MM or -HH:MM, is ahead of UTC; _NOT_A_TIME if it is none of them."""
    if buffer[at] == _Z and at + 1 == end:
        return np.int64(0)
    if at + 6 != end or buffer[at] not in (_PLUS, _MINUS) or buffer[at + 3] != _COLON:
        return _NOT_A_TIME
    hours, minutes = _whole_number(buffer, at + 1, at + 3), _whole_number(buffer, at + 4, at + 6)
    if not (0 <= hours <= 23 and 0 <= minutes <= 59):
        return _NOT_A_TIME
    offset_ms = np.int64((hours * 60 + minutes) * 60_000)
    return -offset_ms if buffer[at] == _MINUS else offset_ms


@compiled
def _literal_end(buffer: Bytes, at: int) -> int:
    """Return what follows null, true or false; -1 if it is none of them."""
    for length in (4, 5):
        if _row_of(buffer, at, at + length, _LITERAL_TABLE, _LITERAL_LENGTHS) >= 0:
            return at + length
    return -1


@compiled
def _field(buffer: Bytes, start: int, end: int) -> int:
    return _row_of(buffer, start, end, _FIELD_TABLE, _FIELD_LENGTHS)


@compiled
def _type_code(buffer: Bytes, span: npt.NDArray[np.int64]) -> int:
    code = _row_of(buffer, span[0], span[1], _TYPE_TABLE, _TYPE_LENGTHS)
    return OTHER if code < 0 else code


@compiled
def _row_of(buffer: Bytes, start: int, end: int, table: Bytes, lengths: npt.NDArray[np.int64]) -> int:
    """Return the row of `table` that holds buffer[start:end], -1 if none does."""
    for row in range(len(lengths)):
        if lengths[row] == end - start and buffer[start] == table[row, 0]:
            place = 1
            while place < lengths[row] and buffer[start + place] == table[row, place]:
                place += 1
            if place == lengths[row]:
                return row
    return -1


@compiled
def _is_equal(buffer: Bytes, span: npt.NDArray[np.int64], other: Bytes, start: int, end: int) -> bool:
    if span[1] - span[0] != end - start:
        return False
    is_equal = True
    for place in range(end - start):
        is_equal &= buffer[span[0] + place] == other[start + place]
    return is_equal


@compiled
def _code(buffer: Bytes, span: npt.NDArray[np.int64]) -> int:
    """Return the code of an item, as `model.items.codes.item_code` does; a category's is its lower half."""
    if span[1] <= span[0]:
        return 0
    quotient, rest = divmod(xxh3_64(buffer, span[0], span[1]), np.uint64(65_535))
    return int((quotient & np.uint64(0xFFFF)) << np.uint64(16) | rest) + 1
