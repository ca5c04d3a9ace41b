"""Validation of a single record: whether it is an event, and if not, why not."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgspec
from msgspec import structs

from model.attributes import NO_PLACES, Places, Values
from model.events import (
    IDENTIFY,
    IMPRESSION,
    MAX_ID_BYTES,
    MAX_NESTING,
    MAX_SHOWN,
    MAX_SHOWN_BYTES,
    is_in_years,
    meant_unit,
    parse_time_ms,
    within_bounds,
)

_REGISTRY_MAGIC: Final = b"\0"
_REGISTRY_HEADER: Final = 5
"""A schema registry's serializers begin with that byte, and a schema's number, big endian (Confluent's wire format)."""
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string, or the rest of the value if it never ends; possessive, so that no input takes more than one pass."""


LATE: Final = "late"
"""Reason of an event that is valid by itself, but older than what its shopper's state remembers."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is not scored: its position in the batch, a reason to group by, a sentence without shopper data."""

    position: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a file that is no event: a reason to group by, and a sentence without the shopper's data."""

    line: int
    """From 1."""
    reason: str
    error: str
    raw: bytes


class InvalidEvent(Exception):  # noqa: N818 - exceptions here are named as facts
    """The record is no event; `reason` names the invalid field or the kind of damage."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


class WireContext(msgspec.Struct, gc=False):
    """What is read of an event's context."""

    channel: str | None = None


class WireEvent(msgspec.Struct, gc=False):
    """The fields of an event that scoring reads, in the types that nearly every producer sends."""

    event_id: str
    user_id: str
    type: str
    ts: int | str
    """Epoch milliseconds; a string only until the decoder has parsed it."""
    item_id: str | None = None
    category: str | None = None
    price: float | None = None
    quantity: float | None = None
    rating: float | None = None
    text: str | None = None
    anonymous_id: str | None = None
    context: WireContext | None = None

    @property
    def channel(self) -> str | None:
        return None if self.context is None else self.context.channel

    @property
    def attributes(self) -> Values | None:
        return None


class _AttributedEvent(WireEvent, gc=False):
    """An event of a shop that defines attributes."""

    attributes: Values | None = None


class WireImpression(WireEvent, gc=False):
    """The fields of an impression; it has no attributes, of which nothing is learnt."""

    items: list[str] | None = None
    model_version: str | None = None
    placement: str | None = None


class _Number(str):
    """The text of a JSON number, kept as written so that a number sent as an id keeps its digits."""

    __slots__ = ()


class _NotANumber:
    """`NaN` or `Infinity`: no JSON, but what some producers write."""


OUTSIDE_YEARS: Final = "ts lies outside the years 2000 to 2100"


def validate_event(value: bytes | None, places: Places = NO_PLACES, *, any_year: bool = False) -> WireEvent:
    """Return the event that `value` holds, with the attributes that a shop defines; raises InvalidEvent.

    With `any_year` a clock that is wrong makes no event invalid: of a time outside the years 2000 to 2100 the caller
    knows better. A time in another unit is no matter of clocks.
    """
    fields, is_strict = parse_object(value)
    event = WireEvent(
        event_id=required_id(fields, "event_id"),
        user_id=required_id(fields, "user_id"),
        type=_type(fields.get("type")),
        ts=_time_ms(fields.get("ts"), any_year),
        item_id=optional_id(fields, "item_id"),
        category=optional_id(fields, "category"),
        price=price_of(fields),
        quantity=optional_number(fields, "quantity"),
        rating=optional_number(fields, "rating"),
        text=optional_text(fields, "text"),
        anonymous_id=optional_id(fields, "anonymous_id"),
        context=_context(fields.get("context")),
    )
    if not is_strict:
        raise InvalidEvent("json", "the value holds NaN or Infinity, which JSON does not know")
    if event.type == IDENTIFY:
        check_identifies(event.user_id, event.anonymous_id)
    if event.type == IMPRESSION:
        return _impression(event, fields)
    attributes = places.read(fields)
    return event if attributes is None else _AttributedEvent(**structs.asdict(event), attributes=attributes)


def check_identifies(user_id: str, anonymous_id: str | None) -> None:
    """Raise InvalidEvent if an event of type IDENTIFY does not name two ids."""
    if not anonymous_id:
        _reject("anonymous_id", f"is missing, which an event of type {IDENTIFY} needs")
    if anonymous_id == user_id:
        _reject("anonymous_id", f"is the user_id: an event of type {IDENTIFY} names two ids of one shopper")


def _impression(event: WireEvent, fields: dict[str, Any]) -> WireImpression:
    given = fields.get("items")
    if given is None:
        _reject("items", "is missing, which an impression needs: the ids of the items shown, in order")
    if not isinstance(given, list):
        _reject("items", f"is {kind_of(given)}, not an array")
    items = [_shown_id(place, one) for place, one in enumerate(given)]
    check_shown(items)
    return WireImpression(
        **structs.asdict(event),
        items=items,
        model_version=optional_id(fields, "model_version"),
        placement=optional_id(fields, "placement"),
    )


def _shown_id(place: int, given: object) -> str:
    field = f"items[{place}]"
    try:
        return _id(field, given) or _reject(field, "is empty")
    except InvalidEvent as invalid:
        raise InvalidEvent("items", invalid.error) from None


def check_shown(items: list[str]) -> None:
    """Raise InvalidEvent if a list of items that were shown is empty or too long."""
    if not items:
        _reject("items", "is empty: an impression is of one item at least")
    if len(items) > MAX_SHOWN:
        _reject("items", f"has {len(items)} ids, more than {MAX_SHOWN}")
    if (size := len(msgspec.json.encode(items))) > MAX_SHOWN_BYTES:
        _reject("items", f"has {size} bytes as JSON, more than {MAX_SHOWN_BYTES}")


def parse_object(value: bytes | None) -> tuple[dict[str, Any], bool]:
    """Return the object's fields, numbers as they were written, and whether it is strict JSON: without NaN or Infinity.

    Raises InvalidEvent.
    """
    if value is None:
        raise InvalidEvent("tombstone", "the record has no value (a tombstone)")
    if not value.strip():
        raise InvalidEvent("empty", "the value is empty")
    if value.startswith(_REGISTRY_MAGIC) and len(value) > _REGISTRY_HEADER:
        schema = int.from_bytes(value[1:_REGISTRY_HEADER], "big")
        raise InvalidEvent("json", f"not JSON: begins as for a schema registry (schema {schema}); send plain JSON")
    if _depth(value) > MAX_NESTING:
        raise InvalidEvent("nesting", f"the value nests deeper than {MAX_NESTING} levels")
    try:
        parsed, is_strict = _load(value.decode())
    except UnicodeDecodeError as failure:
        raise InvalidEvent("encoding", f"invalid UTF-8 at byte {failure.start}") from None
    except json.JSONDecodeError as failure:
        raise InvalidEvent("json", f"not JSON: {failure.msg.lower()} at character {failure.pos}") from None
    if not isinstance(parsed, dict):
        raise InvalidEvent("object", "the value is JSON but not an object")
    return parsed, is_strict


def _load(text: str) -> tuple[Any, bool]:
    constants = []

    def not_a_number(constant: str) -> _NotANumber:
        constants.append(constant)
        return _NotANumber()

    parsed = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=not_a_number)
    return parsed, not constants


def _depth(value: bytes) -> int:
    """Return the deepest nesting of brackets outside strings."""
    if value.count(b"[") + value.count(b"{") <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for byte in _STRING.sub(b"", value):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _reject(field: str, what: str) -> NoReturn:
    raise InvalidEvent(field, f"{field} {what}")


def _text_of(field: str, given: object) -> str:
    """Return a string or the decimal text of a number; refuse anything else, and text that UTF-8 cannot hold."""
    if not isinstance(given, str):
        _reject(field, f"is {kind_of(given)}, not a string")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("encoding", f"{field} holds half of a surrogate pair") from None
    return str(given)


def _id(field: str, given: object) -> str:
    identifier = _text_of(field, given)
    if (size := len(identifier.encode())) > MAX_ID_BYTES:
        _reject(field, f"has {size} bytes, more than {MAX_ID_BYTES}")
    return identifier


def required_id(fields: dict[str, Any], field: str) -> str:
    """Return an id, a number as its decimal text; raises InvalidEvent if it is missing, empty or too long."""
    if fields.get(field) is None:
        _reject(field, "is missing")
    return _id(field, fields[field]) or _reject(field, "is empty")


def optional_id(fields: dict[str, Any], field: str) -> str | None:
    """Return an id, None for nothing; raises InvalidEvent."""
    return None if fields.get(field) is None else _id(field, fields[field])


def optional_text(fields: dict[str, Any], field: str) -> str | None:
    """Return a text of any length, None for nothing; raises InvalidEvent."""
    given = fields.get(field)
    return None if given is None else _text_of(field, given)


def _context(given: object) -> WireContext | None:
    """Return what can be read of a context; it is for people, and no context makes an event invalid."""
    channel = given.get("channel") if isinstance(given, dict) else None
    try:
        return WireContext(_text_of("channel", channel)) if type(channel) is str else None
    except InvalidEvent:
        return None


def _type(given: object) -> str:
    if given is None:
        _reject("type", "is missing")
    if not isinstance(given, str) or isinstance(given, _Number):
        _reject("type", f"is {kind_of(given)}, not a string")
    return _text_of("type", given) or _reject("type", "is empty")


def _time_ms(given: object, any_year: bool) -> int:
    if given is None:
        _reject("ts", "is missing")
    if not isinstance(given, str):
        _reject("ts", f"is {kind_of(given)}, neither epoch milliseconds nor an RFC 3339 string")
    moment = _parsed(_whole_number if isinstance(given, _Number) else parse_time_ms, given)
    if moment is None:
        _reject("ts", "is neither whole epoch milliseconds nor an RFC 3339 string with an offset")
    if is_in_years(moment):
        return moment
    if isinstance(given, _Number) and (unit := meant_unit(moment)):
        _reject("ts", f"is in {unit}, not in milliseconds")
    if not any_year:
        raise InvalidEvent("ts", OUTSIDE_YEARS)
    return within_bounds(moment)


def _parsed(parse: Callable[[str], int], text: str) -> int | None:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None


def _whole_number(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise ValueError("not a whole number")
    return int(number)


def optional_number(fields: dict[str, Any], field: str) -> float | None:
    """Return a finite number, None for nothing; raises InvalidEvent."""
    given = fields.get(field)
    if given is None:
        return None
    if not isinstance(given, _Number):
        _reject(field, f"is {kind_of(given)}, not a number")
    number = float(given)
    return number if math.isfinite(number) else _reject(field, "is too large for a number")


def price_of(fields: dict[str, Any]) -> float | None:
    """Return the price, None for nothing; raises InvalidEvent if it is negative."""
    price = optional_number(fields, "price")
    return price if price is None or price >= 0 else _reject("price", "is negative")


def kind_of(given: object) -> str:
    """Name a JSON value's kind for an error text, never the value itself."""
    if given is None:
        return "null"
    if isinstance(given, _NotANumber):
        return "NaN or Infinity"
    kinds: dict[type, str] = {bool: "a boolean", dict: "an object", list: "an array", _Number: "a number"}
    return kinds.get(type(given), "a string")
