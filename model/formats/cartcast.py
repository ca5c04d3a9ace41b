"""The canonical format: one JSON event per line; the same lines that the events topic carries."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec

from model.events import Event
from model.formats.rows import Line
from model.validate import BadRow, validate_event

_DECODER: Final = msgspec.json.Decoder(Event)
_LINES_AT_ONCE: Final = 1000


def read_rows(lines: Iterator[Line]) -> Iterator[Event | BadRow]:
    """Yield an event or a bad row per line; accepts what the worker accepts."""
    from model.core.decode import decode_events  # noqa: PLC0415 - loads numpy, which who asks for the formats' names need not

    while chunk := list(islice(lines, _LINES_AT_ONCE)):
        _, rejects = decode_events([raw for _, raw in chunk])
        reject_at = {reject.position: reject for reject in rejects}
        for position, (number, raw) in enumerate(chunk):
            reject = reject_at.get(position)
            yield BadRow(number, reject.reason, reject.error, raw) if reject else _event(raw)


def _event(raw: bytes) -> Event:
    """Return the event of a line that the decoder accepted."""
    try:
        return _DECODER.decode(raw)
    except msgspec.ValidationError:  # a number as an id, a time as text, a context that is not flat
        wire = validate_event(raw)
        fields = {name: getattr(wire, name) for name in wire.__struct_fields__}
        return Event(**fields | {"context": {"channel": wire.channel} if wire.channel else None})
