"""A format that a file defines: which column or JSON path is which field of an event, which values mean which type.

fields:
  user_id: customer.id        # the path of a JSON value, or a column
  ts: created_at
  type: action
  item_id: [sku, product_id]  # the first that is there
  context: {device: browser}
types:
  add_to_basket: cart
  "*": other                  # every other value
time: seconds                 # of numbers; dates and times need nothing
"""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from model.events import EVENT_TYPES, IDENTIFY, Event, anonymous_id_of, epoch_ms, within_bounds
from model.formats.fields import (
    Fields,
    flat_context,
    number,
    objects_in,
    optional_id,
    optional_object,
    optional_text,
    required_id,
)
from model.formats.json_rows import JsonFormat
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow, content_id, order_event_id
from model.formats.times import UNITS, moment_ms, unix_ms
from service.errors import UsageError

FIELDS: Final = (
    "user_id",
    "anonymous_id",
    "ts",
    "type",
    "event_id",
    "order_id",
    "item_id",
    "category",
    "price",
    "quantity",
    "rating",
    "text",
)
_TYPES: Final = (*EVENT_TYPES, IDENTIFY)
ANY_OTHER: Final = "*"
_PARTS: Final = frozenset({"fields", "types", "time", "events", "columns"})
_NO_TYPE: Final = "-"

Paths = tuple[str, ...]
"""Places to look at, the first that holds something first."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a mapping file says."""

    fields: Mapping[str, Paths]
    context: Mapping[str, Paths]
    types: Mapping[str, str]
    time: str | None
    """The unit of times that are numbers, or a pattern as of strptime; None for dates and times of RFC 3339."""
    events: str | None
    """The array that holds the events of an object, beside what they share."""
    columns: tuple[str, ...]
    """Names of columns in a table without a header."""


def definition_of(tree: object) -> Definition:
    """Return what a parsed mapping file defines; raises UsageError with the place of a fault."""
    parts = _object("the file", tree)
    if unknown := parts.keys() - _PARTS:
        raise UsageError(f"{min(unknown)}: unknown; a mapping has {', '.join(sorted(_PARTS))}")
    types = _types(_object("types", parts.get("types", {})))
    fields = _object("fields", parts.get("fields"))
    context = _object("fields.context", fields.pop("context", {}))
    _check_fields(fields, types)
    events, columns = parts.get("events"), parts.get("columns", [])
    if events is not None and not isinstance(events, str):
        raise UsageError("events: give the name of the array that holds an object's events")
    if not isinstance(columns, list) or len({str(name) for name in columns}) < len(columns):
        raise UsageError("columns: give a list of names, each once")
    return Definition(
        fields={name: _paths(f"fields.{name}", one) for name, one in fields.items()},
        context={name: _paths(f"fields.context.{name}", one) for name, one in context.items()},
        types=types,
        time=_time(parts.get("time")),
        events=events,
        columns=tuple(map(str, columns)),
    )


def _types(types: dict[str, Any]) -> dict[str, str]:
    for name, one in types.items():
        if one not in _TYPES:
            raise UsageError(f"types.{name}: {one} is no type; choose from {', '.join(_TYPES)}")
    return types


def _check_fields(fields: Mapping[str, Any], types: Mapping[str, str]) -> None:
    if unknown := fields.keys() - set(FIELDS):
        raise UsageError(f"fields.{min(unknown)}: unknown; choose from {', '.join(FIELDS)}, context")
    for name in ("user_id", "ts"):
        if name not in fields:
            raise UsageError(f"fields.{name}: missing; say which column or path it is")
    if "type" not in fields and set(types) != {ANY_OTHER}:
        raise UsageError(f'fields.type: missing; or give all rows one type, as in types: {{"{ANY_OTHER}": purchase}}')


def _time(given: object) -> str | None:
    if given is None or given in UNITS or (isinstance(given, str) and "%" in given):
        return None if given is None else str(given)
    raise UsageError(f"time: {given} is none of {', '.join(UNITS)}, and no pattern such as %d.%m.%Y %H:%M")


def format_of(definition: Definition) -> JsonFormat:
    """Return the format that a mapping defines: of objects, and of tables by the names of columns."""
    reader = _Reader(definition)
    paths = [path for paths in (*definition.fields.values(), *definition.context.values()) for path in paths]
    own = OwnReading(reader.type_name, lambda part: part)
    return JsonFormat(reader.split, reader.event, own, frozenset(path.lower() for path in paths), definition.columns)


@dataclass(frozen=True, slots=True)
class _Reader:
    definition: Definition

    def split(self, line: Fields) -> list[Fields]:
        name = self.definition.events
        return [line] if name is None else [line | event for event in objects_in(line, name)]

    def type_name(self, part: Fields) -> str | None:
        return optional_text("type", self._given(part, "type"))

    def event(self, part: Fields, own_types: Mapping[str, str] = {}) -> Event:
        name = self.type_name(part)
        event_type = own_types.get(name or "") or self._type(name)
        user = self._id(part, "user_id") or required_id("user_id", None)
        ts = self._time_ms(part)
        item, order = (self._id(part, field) for field in ("item_id", "order_id"))
        return Event(
            event_id=(order_event_id(order) if event_type == "purchase" else None)
            or self._id(part, "event_id")
            or content_id(str(ts), name or _NO_TYPE, item or "", user),
            user_id=user,
            type=event_type,
            ts=ts,
            item_id=item,
            category=self._id(part, "category"),
            price=number("price", self._given(part, "price"), least=0),
            quantity=number("quantity", self._given(part, "quantity")),
            rating=number("rating", self._given(part, "rating")),
            text=optional_text("text", self._given(part, "text")),
            anonymous_id=self._anonymous_id(part, user, event_type),
            context=flat_context(dict(self._context(part, order))),
        )

    def _anonymous_id(self, part: Fields, user_id: str, event_type: str) -> str | None:
        anonymous_id = anonymous_id_of(user_id, self._id(part, "anonymous_id"))
        if event_type == IDENTIFY and anonymous_id is None:
            raise InvalidRow("anonymous_id", "anonymous_id is missing, or the user's own: identify names two ids")
        return anonymous_id

    def _type(self, name: str | None) -> str:
        found = self.definition.types.get(name or "") or self.definition.types.get(ANY_OTHER)
        if found is None and name in _TYPES:
            return name
        if found is None:
            raise InvalidRow(
                "type", f"type is none of {', '.join(self.definition.types)}" if name else "type is missing"
            )
        return found

    def _time_ms(self, part: Fields) -> int:
        given, time = self._given(part, "ts"), self.definition.time
        if isinstance(given, float) and time in UNITS:
            return within_bounds(int(given * UNITS[time] / 1000))
        text = required_id("ts", given)
        if time is None or (text[4:5] == "-" and not time.startswith("%Y-")):
            return moment_ms("ts", text)
        return unix_ms("ts", text, time) if time in UNITS else parsed_time_ms(text, time)

    def _id(self, part: Fields, field: str) -> str | None:
        """Return the id at the first of a field's paths that has one: a word for nothing is none."""
        given = (optional_id(field, _at(part, path)) for path in self.definition.fields.get(field, ()))
        return next((found for found in given if found is not None), None)

    def _given(self, part: Fields, field: str) -> object:
        return _first(part, self.definition.fields.get(field, ()))

    def _context(self, part: Fields, order: str | None) -> Iterator[tuple[str, object]]:
        yield "order_id", order
        for name, paths in self.definition.context.items():
            yield name, _first(part, paths)


def parsed_time_ms(text: str, pattern: str) -> int:
    """Return the epoch milliseconds of a time written by a pattern of strptime, or raise InvalidRow."""
    try:
        moment = datetime.datetime.strptime(text, pattern)  # noqa: DTZ007 - the next line knows
    except ValueError:
        raise InvalidRow("ts", "ts is not written as the mapping's time says") from None
    return within_bounds(epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)))


def _first(part: Fields, paths: Paths) -> object:
    return next((found for path in paths if (found := _at(part, path)) not in {None, ""}), None)


def _at(part: Fields, path: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what is under a name, or under the names of a path; numbers in it are positions in an array."""
    if path in part:
        found = part[path]
        return found if not isinstance(found, dict | list) else None
    found = part
    for name in path.split("."):
        found = optional_object(found)
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found if not isinstance(found, dict | list) else None


def _object(place: str, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"{place}: is not a mapping of names to values")
    return {str(name): one for name, one in given.items()}


def _paths(place: str, given: object) -> Paths:
    paths = given if isinstance(given, list) else [given]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise UsageError(f"{place}: give a column, a path such as customer.id, or a list of them")
    return tuple(paths)
