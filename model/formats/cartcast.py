"""The canonical format: one JSON event per line; the same lines that the events topic carries."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec
import orjson
from msgspec import structs

from model.attributes import Values
from model.events import EVENT_TYPES, Event
from model.formats.own import OwnRow
from model.formats.rows import Line
from model.shop import NO_SHOP, Shop
from model.validate import BadRow, InvalidEvent, WireEvent, validate_event


class _Line(Event, frozen=True, gc=False):
    """An event in whose attributes any JSON stands."""

    attributes: Any = None


_DECODER: Final = msgspec.json.Decoder(Event)
_LINE_DECODER: Final = msgspec.json.Decoder(_Line)
_READ: Final = frozenset(WireEvent.__struct_fields__) - {"context"}
_LINES_AT_ONCE: Final = 1000


def read_rows(lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
    """Yield an event or a bad row per line; accepts what the worker accepts."""
    from model.core.decode import decode_events  # noqa: PLC0415 - loads numpy, which who asks for the formats' names need not
    from model.core.shop_tables import ShopTables  # noqa: PLC0415 - likewise

    tables = ShopTables.of(shop)
    while chunk := list(islice(lines, _LINES_AT_ONCE)):
        batch, rejects = decode_events([raw for _, raw in chunk], tables=tables)
        reject_at = {reject.position: reject for reject in rejects}
        attributes = iter(batch.attributes(shop))
        for position, (number, raw) in enumerate(chunk):
            reject = reject_at.get(position)
            if reject:
                yield BadRow(number, reject.reason, reject.error, raw)
            else:
                yield _with_attributes(_event(raw), next(attributes))


def own_rows(lines: Iterator[Line]) -> Iterator[OwnRow]:
    """Yield what a shop's definition may name in each event."""
    for _, raw in lines:
        try:
            event, fields = validate_event(raw), orjson.loads(raw)
        except (InvalidEvent, orjson.JSONDecodeError):
            continue
        own = {name: value for name, value in fields.items() if name not in _READ}
        yield OwnRow(None if event.type in EVENT_TYPES else event.type, own)


def _event(raw: bytes) -> Event:
    """Return the event of a line that the decoder accepted; its attributes are as they stand there, or left out."""
    try:
        return _DECODER.decode(raw)
    except msgspec.ValidationError:
        return _odd_event(raw)


def _odd_event(raw: bytes) -> Event:
    try:
        return Event(**structs.asdict(_LINE_DECODER.decode(raw)) | {"attributes": None})
    except msgspec.ValidationError:  # a number as an id, a time as text, a context that is not flat
        wire = validate_event(raw)
        fields = {name: getattr(wire, name) for name in wire.__struct_fields__}
        return Event(**fields | {"context": {"channel": wire.channel} if wire.channel else None})


def _with_attributes(event: Event, attributes: Values | None) -> Event:
    """Return the event with the attributes that a shop's definition says it has."""
    return event if attributes is event.attributes is None else structs.replace(event, attributes=attributes)
