"""OTTO's sessions: one a line, with its clicks, carts and orders; the session is the user.

`{"session": 1, "events": [{"aid": 1517085, "ts": 1659304800025, "type": "clicks"}, ...]}`, times in Unix milliseconds.
https://github.com/otto-de/recsys-dataset
"""

from collections.abc import Mapping
from typing import Final

from model.events import Event
from model.formats.fields import Fields, objects_in, required_id
from model.formats.json_rows import JsonFormat, whole_id
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow
from model.formats.times import unix_ms

TYPES: Final = {"clicks": "view", "carts": "cart", "orders": "purchase"}


def _split(line: Fields) -> list[Fields]:
    session = required_id("session", line.get("session"))
    if "events" not in line:
        raise InvalidRow("events", "events is missing")
    return [{**event, "session": session} for event in objects_in(line, "events")]


def _event(part: Fields, own_types: Mapping[str, str] = {}) -> Event:
    name = required_id("type", part.get("type"))
    event_type = TYPES.get(name) or own_types.get(name)
    if event_type is None:
        raise InvalidRow("type", f"type is none of {', '.join(TYPES)}")
    return Event(
        event_id=whole_id(part),
        user_id=part["session"],
        type=event_type,
        ts=unix_ms("ts", required_id("ts", part.get("ts")), "milliseconds"),
        item_id=required_id("aid", part.get("aid")),
    )


_OWN: Final = OwnReading(lambda part: part.get("type"), lambda part: part)
FORMAT: Final = JsonFormat(_split, _event, _OWN)
