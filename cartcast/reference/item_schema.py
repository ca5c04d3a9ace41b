"""The JSON Schema of an item, from the fields of `model.items.item` and the limits that it keeps."""

from typing import Final

from msgspec import NODEFAULT, structs

from cartcast.reference.event_schema import DIALECT, Schema
from model.events import MAX_EVENT_TIME_MS, MAX_ID_BYTES, MIN_EVENT_TIME_MS
from model.items.item import LARGEST_NUMBER, MAX_VECTOR_NUMBERS, Item

_TEXT: Final = ["string", "number"]
"""A number as a text is taken as its decimals, as it was written."""
_OPTIONAL_ID: Final[Schema] = {"type": [*_TEXT, "null"], "maxLength": MAX_ID_BYTES}

_FIELDS: Final[dict[str, tuple[Schema, str]]] = {
    "item_id": (
        {"type": _TEXT, "minLength": 1, "maxLength": MAX_ID_BYTES},
        "The item, as events name it; also the record's key",
    ),
    "title": ({"type": [*_TEXT, "null"]}, "Its name, in any language"),
    "description": ({"type": [*_TEXT, "null"]}, "What else is said of it; the first 400 characters are read"),
    "category": (
        {"anyOf": [_OPTIONAL_ID, {"type": "array", "items": {"type": "string"}}]},
        (
            "Path from the widest level down, levels separated by ` > ` or `/`, or as an array; four levels are told "
            "apart. Best as events write it"
        ),
    ),
    "brand": (_OPTIONAL_ID, "Its brand"),
    "price": ({"type": ["number", "null"], "minimum": 0}, "What one costs, in the shop's one currency"),
    "currency": (_OPTIONAL_ID, "Of the price; for people"),
    "in_stock": (
        {"type": ["boolean", "number", "string", "null"]},
        (
            "Whether it can be ordered now: a boolean, the number of pieces, or a word of Google's feeds or schema.org "
            "(`in_stock`, `out_of_stock`, `preorder`, `SoldOut` ...); if it is not given, it can"
        ),
    ),
    "vector": (
        {
            "type": ["array", "null"],
            "items": {"type": "number", "minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER},
            "minItems": 1,
            "maxItems": MAX_VECTOR_NUMBERS,
        },
        "What the shop has made of its picture or text (CLIP, a sentence embedding ...); of one length",
    ),
    "added_at": (
        {
            "anyOf": [
                {"type": "integer", "minimum": MIN_EVENT_TIME_MS, "exclusiveMaximum": MAX_EVENT_TIME_MS},
                {"type": "string", "pattern": "^([0-9]{12,13}|20[0-9][0-9]-[0-9][0-9]-[0-9][0-9].*)$"},
                {"type": "null"},
            ]
        },
        (
            "Since when the shop has it: epoch milliseconds, an RFC 3339 time, or a day; of the years 2000 to 2099. "
            "Training learns from it how much new items are wanted"
        ),
    ),
}


def item_schema() -> Schema:
    """Return the schema of a value of the items topic; fields that it does not know are allowed and not read."""
    fields = structs.fields(Item)
    return {
        "$schema": DIALECT,
        "title": "Item",
        "description": "One item of the shop's catalogue; a value of the items topic. Beyond what this schema says: "
        "the record's key is the UTF-8 of `item_id`; `item_id`, `category`, `brand` and `currency` have at most "
        f"{MAX_ID_BYTES:,} bytes of UTF-8, which may be fewer characters; all items' vectors have the same length.",
        "type": "object",
        "properties": {name: {"description": meaning, **form} for name, (form, meaning) in _FIELDS.items()},
        "required": [field.name for field in fields if field.default is NODEFAULT],
    }
