"""PostHog's events, as its batch exports and its API write them, and its capture API takes them: as track calls.

https://posthog.com/docs/cdp/batch-exports, https://posthog.com/docs/api/capture
"""

from typing import Final

from model.formats.fields import Fields, object_in, objects_in, required_id
from model.formats.json_rows import JsonFormat
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow
from model.formats.segment import to_event

_COLUMNS: Final = frozenset({"uuid", "event", "distinct_id", "timestamp", "properties"})

_ANONYMOUS_IDS: Final = {"$identify": "$anon_distinct_id", "$create_alias": "alias"}
"""Which property of an event that joins two ids has the other one."""


def _split(line: Fields) -> list[Fields]:
    several = next((name for name in ("batch", "results") if name in line), None)
    return [_call(line)] if several is None else [_call(event) for event in objects_in(line, several)]


def _call(event: Fields) -> Fields:
    """Return the track call that says the same."""
    properties = object_in(event, "properties")
    if "distinct_id" not in event and "distinct_id" not in properties:
        raise InvalidRow("distinct_id", "distinct_id is missing")
    name = event.get("event")
    return {
        "type": "identify" if str(name) in _ANONYMOUS_IDS else "track",
        "event": name,
        "anonymousId": properties.get(_ANONYMOUS_IDS.get(str(name), "")),
        "messageId": event.get("uuid") or event.get("id"),
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
