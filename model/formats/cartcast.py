"""The canonical format: one JSON event per line; the same lines that the events topic carries, or a table of them.

In a file ids, numbers and times may also be as other tools write them: what the worker would refuse is read as in the
other formats, if it can be.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson
from msgspec import structs

from model.attributes import Values
from model.events import IMPRESSION, STORED_TYPES, Event
from model.formats.fields import CONSENT, Fields, number, optional_id, optional_object, with_consent
from model.formats.ids import checked_id, known_id
from model.formats.json_rows import object_lines, parsed_object
from model.formats.own import OwnRow
from model.formats.rows import InvalidRow, Line, row_text
from model.formats.times import moment_ms
from model.shop import NO_SHOP, Shop
from model.validate import BadRow, InvalidEvent, WireImpression, validate_event

if TYPE_CHECKING:
    from model.core.shop_tables import ShopTables


class _Line(Event, frozen=True, gc=False):
    """An event that has any JSON in fields which are not read of it."""

    attributes: Any = None
    items: Any = None
    model_version: Any = None
    placement: Any = None


_DECODER: Final = msgspec.json.Decoder(Event)
_LINE_DECODER: Final = msgspec.json.Decoder(_Line)
_OF_IMPRESSIONS: Final = ("items", "model_version", "placement")
_READ: Final = frozenset(WireImpression.__struct_fields__) - {"context"}
_COLUMNS: Final = _READ | {"context", "attributes"}
_NUMBERS: Final = ("price", "quantity", "rating")
_OPTIONAL_IDS: Final = ("anonymous_id", "item_id", "category")
_IDS: Final = ("event_id", "user_id", *_OPTIONAL_IDS)
_NAMES_CONSENT: Final = b'"consent"'
_LINES_AT_ONCE: Final = 1000


def read_rows(lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
    """Yield an event or a bad row per line."""
    from model.core.shop_tables import ShopTables  # noqa: PLC0415 - loads numpy, which who asks for the formats' names need not

    tables = ShopTables.of(shop)
    rows = object_lines(lines, _COLUMNS)
    while chunk := list(islice(rows, _LINES_AT_ONCE)):
        raws = [b"" if isinstance(line, BadRow) else line[1] for line in chunk]
        for line, read in zip(chunk, _events(raws, tables), strict=True):
            if isinstance(line, BadRow):
                yield line
                continue
            try:
                yield _with_ids(_mended(line, read, tables) if isinstance(read, InvalidRow) else read)
            except InvalidRow as invalid:
                yield invalid.at(line)


def own_rows(lines: Iterator[Line]) -> Iterator[OwnRow]:
    """Yield what a shop's definition may name in each event."""
    for line in object_lines(lines, _COLUMNS):
        if isinstance(line, BadRow):
            continue
        try:
            event, fields = validate_event(line[1]), orjson.loads(line[1])
        except (InvalidEvent, orjson.JSONDecodeError):
            continue
        own = {name: value for name, value in fields.items() if name not in _READ}
        yield OwnRow(None if event.type in STORED_TYPES else event.type, own)


def _events(raws: list[bytes], tables: "ShopTables") -> list[Event | InvalidRow]:
    """Return for each line its event, or why the worker would refuse it."""
    from model.core.decode import decode_events  # noqa: PLC0415 - as above

    batch, rejects = decode_events(raws, tables=tables)
    refused = {reject.position: InvalidRow(reject.reason, reject.error) for reject in rejects}
    attributes = iter(batch.attributes(tables.shop))
    return [
        refused.get(position) or _with_attributes(_event(raw), next(attributes)) for position, raw in enumerate(raws)
    ]


def _mended(line: Line, refused: InvalidRow, tables: "ShopTables") -> Event:
    """Return the event of a line that the worker would refuse for how something is written, or raise InvalidRow."""
    row_text(line[1])  # of a line that was cut no more is to be said
    try:
        fields = parsed_object(line[1], every_digit=True)
    except InvalidRow:
        raise refused from None
    written = fields | _as_the_worker_reads(fields)
    if written == fields:
        raise refused
    (read,) = _events([orjson.dumps(written)], tables)
    if isinstance(read, InvalidRow):
        raise read
    return read


def _as_the_worker_reads(fields: Fields) -> Fields:
    """Return numbers as numbers, ids as texts, times in milliseconds, objects as objects."""
    written: Fields = {name: number(name, fields[name]) for name in _NUMBERS if isinstance(fields.get(name), str)}
    for name in _IDS:
        if isinstance(fields.get(name), str | int | float):
            written[name] = optional_id(name, fields[name])
    if isinstance(time := fields.get("ts"), str):
        written["ts"] = moment_ms("ts", time) if time[4:5] == "-" else number("ts", time)
    return written | {name: optional_object(fields[name]) for name in ("context", "attributes") if name in fields}


def _with_ids(event: Event) -> Event:
    """Return the event with its ids as other formats read them, or raise InvalidRow."""
    event_id, user_id = checked_id("event_id", event.event_id), checked_id("user_id", event.user_id)
    given = {name: getattr(event, name) for name in _OPTIONAL_IDS}
    known = {name: None if one is None else known_id(name, one) for name, one in given.items()}
    if (event_id, user_id, known) == (event.event_id, event.user_id, given):
        return event
    return structs.replace(event, event_id=event_id, user_id=user_id, **known)


def _event(raw: bytes) -> Event:
    """Return the event of a line that the decoder accepted; its attributes are as they stand there, or left out."""
    try:
        event = _DECODER.decode(raw)
    except msgspec.ValidationError:
        event = _odd_event(raw)
    return event if _NAMES_CONSENT not in raw else _with_consent(event, raw)


def _with_consent(event: Event, raw: bytes) -> Event:
    """Return the event with what its shopper consents to, of which the worker judges."""
    context = orjson.loads(raw).get("context")
    wishes = context.get(CONSENT) if isinstance(context, dict) else None
    return structs.replace(event, context=with_consent(event.context, wishes))


def _odd_event(raw: bytes) -> Event:
    try:
        line = _LINE_DECODER.decode(raw)
        if line.type == IMPRESSION:
            raise msgspec.ValidationError
        return Event(**structs.asdict(line) | dict.fromkeys(("attributes", *_OF_IMPRESSIONS)))
    except msgspec.ValidationError:  # a number as an id, a time as text, a context that is not flat
        wire = validate_event(raw)
        fields = {name: getattr(wire, name) for name in wire.__struct_fields__}
        return Event(**fields | {"context": {"channel": wire.channel} if wire.channel else None})


def _with_attributes(event: Event, attributes: Values | None) -> Event:
    """Return the event with the attributes that a shop's definition says it has."""
    return event if attributes is event.attributes is None else structs.replace(event, attributes=attributes)
