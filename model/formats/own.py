"""What a shop defines of its own, in events of other systems."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import structs

from model.attributes import Places
from model.events import Event
from model.shop import Shop

Fields = Mapping[str, Any]
_Row = Any
"""A row as its format has it."""


class ToEvent(Protocol):
    """Makes an event of a row; raises InvalidRow."""

    def __call__(self, row: _Row, /, own_types: Mapping[str, str] = {}) -> Event:
        """Return the event; `own_types` are the names of a shop's types, with the built-in one to read a row as."""
        ...


@dataclass(frozen=True, slots=True)
class OwnRow:
    """What a definition may name in one row."""

    own_type: str | None
    """The type's name if it is no built-in type."""
    fields: Fields
    """Where paths of attributes begin, without what the format itself reads."""


@dataclass(frozen=True, slots=True)
class OwnReading:
    """Where a format keeps what a definition may name."""

    type_of: Callable[[_Row], object]
    """The type's name as the row has it."""
    source_of: Callable[[_Row], Fields]
    """The object in which the paths of attributes begin."""
    details: tuple[str, ...] = ()
    """The path to the object that holds those attributes that have no path, under their names."""
    suggested: frozenset[str] = frozenset()
    """Names at the beginning of paths under which there are attributes to suggest."""

    def own_row(self, row: _Row, event_type: str) -> OwnRow:
        """Return what a definition may name in a row, whose type is read as `event_type` without one."""
        name = self.type_of(row)
        is_own = event_type == "other" and isinstance(name, str) and name not in {"", "other"}
        fields = {key: value for key, value in self.source_of(row).items() if key in self.suggested}
        return OwnRow(str(name) if is_own else None, fields)

    def reader(self, shop: Shop, to_event: ToEvent) -> Callable[[_Row], Event]:
        """Return `to_event` with the types and attributes that the shop defines."""
        if not shop.has_own_events:
            return to_event
        places = Places.inside(shop, *self.details)
        own_types = dict(zip(shop.event_types, shop.behaves_like, strict=True))
        own_types = {name: own_types[name] for name in shop.types}

        def own_event(row: _Row) -> Event:
            event, name = to_event(row, own_types), self.type_of(row)
            own_type = name if isinstance(name, str) and name in own_types else event.type
            return structs.replace(event, type=own_type, attributes=places.read(self.source_of(row)))

        return own_event
