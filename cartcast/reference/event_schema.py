"""The JSON Schema of an event, from the fields that decoding reads and the limits that it keeps.

What is valid is accepted, and what is accepted is valid, as far as JSON Schema can say it; `LIMITS` names the rest.
"""

from typing import Any, Final

from msgspec import NODEFAULT, structs

from model.events import (
    IDENTIFY,
    IMPRESSION,
    MAX_EVENT_TIME_MS,
    MAX_ID_BYTES,
    MAX_NESTING,
    MAX_SHOWN,
    MAX_SHOWN_BYTES,
    MIN_EVENT_TIME_MS,
    STORED_TYPES,
)
from model.validate import WireEvent

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

LIMITS: Final = (
    "the record's key is the UTF-8 of `user_id`",
    (
        f"`event_id`, `user_id`, `item_id` and `category` have at most {MAX_ID_BYTES:,} bytes of UTF-8, which may be "
        "fewer characters"
    ),
    (
        "a `ts` that is a string may be in any other form of ISO 8601 with an offset from UTC; it must name a day and "
        "a time that exist, and after its offset it must still lie in the years 2000 to 2099"
    ),
    "a number must fit a 64-bit floating point number",
    (
        "the value is JSON to the letter, in UTF-8: without NaN, Infinity and halves of surrogate pairs in fields that "
        "are read"
    ),
    f"`items` of an impression has at most {MAX_SHOWN_BYTES:,} bytes of JSON",
    f"brackets nest at most {MAX_NESTING} levels deep",
)
"""What decides about an event and JSON Schema does not say."""

_TEXT: Final = ["string", "number"]
"""A number as an id is taken as its decimal text, as it was written."""
_ID: Final[Schema] = {"type": _TEXT, "minLength": 1, "maxLength": MAX_ID_BYTES}
_RFC_3339: Final = (
    r"^20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_TIME: Final[Schema] = {
    "anyOf": [
        {"type": "integer", "minimum": MIN_EVENT_TIME_MS, "exclusiveMaximum": MAX_EVENT_TIME_MS},
        {"type": "string", "format": "date-time", "pattern": _RFC_3339},
    ]
}
_OPTIONAL_ID: Final[Schema] = {"type": [*_TEXT, "null"], "maxLength": MAX_ID_BYTES}
_NUMBER: Final[Schema] = {"type": ["number", "null"]}

_FIELDS: Final[dict[str, tuple[Schema, str]]] = {
    "event_id": (_ID, "Names the event; one that its shopper sent among the last 64 is a duplicate, and not scored"),
    "user_id": (_ID, "The shopper; also the record's key"),
    "type": (
        {"type": "string", "minLength": 1, "examples": list(STORED_TYPES)},
        (
            f"What the shopper did, or `{IMPRESSION}`: what a page showed; any type that is not among the examples "
            f"counts as `other`, and so does `{IDENTIFY}`: a log-in"
        ),
    ),
    "ts": (
        _TIME,
        (
            "When: epoch milliseconds, or an RFC 3339 time; of the years 2000 to 2099; of one outside them, or more "
            "than a day (`worker.clock_ahead_seconds`) after its record's Kafka timestamp, that timestamp is taken"
        ),
    ),
    "item_id": (_OPTIONAL_ID, "Of which item"),
    "category": (_OPTIONAL_ID, "Of which category"),
    "price": ({**_NUMBER, "minimum": 0}, "Of one unit, in the shop's own currency"),
    "quantity": (_NUMBER, "How many units"),
    "rating": (_NUMBER, "What a review gives"),
    "text": ({"type": [*_TEXT, "null"]}, "The words of a review"),
    "anonymous_id": (
        _OPTIONAL_ID,
        (
            "Under which id the shopper was known before; that id's state becomes the user's "
            f"(docs/identity.md). An event of type `{IDENTIFY}` needs it"
        ),
    ),
    "context": (
        {"examples": [{"channel": "email", "device": "phone", "country": "DE"}]},
        "A flat object of strings; `channel` goes into the score. A context of any other form is accepted and not read",
    ),
    "attributes": (
        {"examples": [{"brand": "acme", "cart_value": 59.9}]},
        (
            "What a shop's definition (docs/shop.md) names, by name; of any other form, and without a definition, it "
            "is accepted and not read"
        ),
    ),
    "items": (
        {"examples": [["sku-1", "sku-2"]]},
        f"Of an {IMPRESSION}: the ids of the items in the order shown; of other events it is not read",
    ),
    "model_version": (
        {"examples": ["lstm64-5a3d9389"]},
        f"Of an {IMPRESSION}: which model or rule made the list, as the answer with the items named it",
    ),
    "placement": ({"examples": ["home"]}, f"Of an {IMPRESSION}: where the list was shown"),
}
_OF_IMPRESSIONS: Final[Schema] = {
    "items": {"type": "array", "items": _ID, "minItems": 1, "maxItems": MAX_SHOWN},
    "model_version": _OPTIONAL_ID,
    "placement": _OPTIONAL_ID,
}


def event_schema() -> Schema:
    """Return the schema of a value of the events topic; fields that it does not know are allowed and not read."""
    fields = structs.fields(WireEvent)
    return {
        "$schema": DIALECT,
        "title": "Event",
        "description": "What one shopper did at one moment; a value of the events topic, if "
        "`worker.input_format` is `cartcast`. Beyond what this schema says: " + "; ".join(LIMITS) + ".",
        "type": "object",
        "properties": {name: _property(*described) for name, described in _FIELDS.items()},
        "required": [field.name for field in fields if field.default is NODEFAULT],
        "allOf": [
            _if_of_type(IMPRESSION, {"properties": _OF_IMPRESSIONS, "required": ["items"]}),
            _if_of_type(IDENTIFY, {"properties": {"anonymous_id": _ID}, "required": ["anonymous_id"]}),
        ],
    }


def _if_of_type(event_type: str, then: Schema) -> Schema:
    return {"if": {"properties": {"type": {"const": event_type}}, "required": ["type"]}, "then": then}


def _property(constraints: Schema, description: str) -> Schema:
    return {"description": description, **constraints}
