"""PostHog's events, as its batch exports write them, and its capture API takes them; read as Segment's track calls.

https://posthog.com/docs/cdp/batch-exports, https://posthog.com/docs/api/capture
"""

from typing import Final

from model.formats.fields import Fields, object_in, objects_in, required_id
from model.formats.json_rows import JsonFormat
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow
from model.formats.segment import to_event

_COLUMNS: Final = frozenset({"uuid", "event", "distinct_id", "timestamp", "properties"})


def _split(line: Fields) -> list[Fields]:
    return [_call(event) for event in objects_in(line, "batch")] if "batch" in line else [_call(line)]


def _call(event: Fields) -> Fields:
    """Return the track call that says the same."""
    properties = object_in(event, "properties")
    if "distinct_id" not in event and "distinct_id" not in properties:
        raise InvalidRow("distinct_id", "distinct_id is missing")
    return {
        "type": "track",
        "event": event.get("event"),
        "messageId": event.get("uuid"),
        "userId": required_id("distinct_id", event.get("distinct_id") or properties.get("distinct_id")),
        "timestamp": event.get("timestamp") or properties.get("timestamp"),
        "properties": properties,
        "context": {
            "device": {"type": properties.get("$device_type")},
            "campaign": {"medium": properties.get("utm_medium"), "name": properties.get("utm_campaign")},
            "location": {"country": properties.get("$geoip_country_name")},
            "locale": properties.get("$browser_language"),
        },
    }


_OWN: Final = OwnReading(lambda call: call["event"], lambda call: call, ("properties",), frozenset({"properties"}))
FORMAT: Final = JsonFormat(_split, to_event, _OWN, _COLUMNS)
