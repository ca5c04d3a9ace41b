"""The JSON Schema of a score, from the message type that the worker encodes and the answers of its extra heads."""

from typing import Any, Final

import msgspec
from msgspec import structs

from cartcast.reference.event_schema import DIALECT, Schema
from model.events import (
    EXPECTED_VALUE,
    IMPRESSION,
    MAX_EVENT_TIME_MS,
    MAX_SHOWN,
    MIN_EVENT_TIME_MS,
    STORED_TYPES,
    Score,
    propensity_field,
)
from model.heads import HEADS, TOP, HeadNames
from model.level import LARGEST_SHIFT, SHIFT_FIELDS
from model.text import MAX_CHARACTERS

_PREFIX: Final = propensity_field("")
_PROPENSITY: Final[Schema] = {"minimum": 0, "maximum": 1}
_FILLED: Final[Schema] = {"minLength": 1}
_COUNT: Final[Schema] = {"minimum": 0}
_FROM_THE_EVENT: Final = "As the event had it; null if it had none"

_FIELDS: Final[dict[str, tuple[Schema, str]]] = {
    "user_id": (_FILLED, "The shopper; also the record's key"),
    "event_id": (_FILLED, "The event that was scored"),
    "event_type": (
        {"enum": list(STORED_TYPES)},
        (
            "What the shopper did; types that Cartcast does not know are `other`. "
            f"`{IMPRESSION}` is what a page showed: it is not scored, and its propensities are null"
        ),
    ),
    "item_id": ({}, _FROM_THE_EVENT),
    "category": ({}, _FROM_THE_EVENT),
    "price": (_COUNT, _FROM_THE_EVENT),
    "event_time": (
        {"minimum": MIN_EVENT_TIME_MS, "exclusiveMaximum": MAX_EVENT_TIME_MS},
        (
            "When the event happened, in epoch milliseconds; if the event says more than `worker.clock_ahead_seconds` "
            "(a day) after its record's Kafka timestamp, that timestamp"
        ),
    ),
    "propensity_session": (
        _PROPENSITY,
        (
            "Probability of at least one purchase after this event in the rest of its session, which ends when 30 "
            "minutes pass without an event"
        ),
    ),
    "propensity_1h": (_PROPENSITY, "Probability of at least one purchase within 1 hour after this event"),
    "propensity_24h": (_PROPENSITY, "Probability of at least one purchase within 24 hours after this event"),
    "model": (_FILLED, "Version of the model that scored"),
    "source_topic": (_FILLED, "Topic of the event's record"),
    "source_partition": (
        _COUNT,
        "Partition of the event's record, and of the score's",
    ),
    "source_offset": (_COUNT, "Offset of the event's record; with topic and partition it names the score for ever"),
    "scored_at": (_COUNT, "When the worker scored, in epoch milliseconds"),
    "channel": ({}, "`context.channel` of the event; null if it had none"),
    "source_timestamp": (_COUNT, "Kafka's time of the event's record in epoch milliseconds; 0 if it had none"),
    "quantity": ({}, "As the event had it; absent if it had none"),
    "rating": ({}, "As the event had it; absent if it had none"),
    "text": (
        {"minLength": 1, "maxLength": MAX_CHARACTERS},
        f"What the shopper wrote, its first {MAX_CHARACTERS:,} characters; absent if the event has no words",
    ),
    "anonymous_id": (_FILLED, "Under which id the shopper was known before, as the event says; absent if it does not"),
    "shown": (
        {"minItems": 1, "maxItems": MAX_SHOWN},
        "The items that an impression says were shown, in order; absent of other events",
    ),
    "shown_by": (_FILLED, "Which model or rule made the list, if the impression says so"),
    "placement": (_FILLED, "Where the list was shown, if the impression says so"),
    **{
        name: (
            {"minimum": -LARGEST_SHIFT, "maximum": LARGEST_SHIFT},
            f"How far the level correction moved `{name.replace('shift_', _PREFIX)}`, in log-odds; absent without one",
        )
        for name in SHIFT_FIELDS
    },
    "next_type": (
        _FILLED,
        "Likeliest type of the next event, built in or the shop's own, if the model has this head",
    ),
    "next_type_propensity": (_PROPENSITY, "Probability of that type"),
    "next_purchase_categories": (
        {"maxItems": TOP},
        "Likeliest categories of the shopper's next purchase, the likeliest first, if the model has this head",
    ),
    EXPECTED_VALUE: (
        _COUNT,
        (
            "Expected value, price times quantity, of all purchases after this event within the time of the shop's "
            "`money`, in the currency of its prices, if the model was trained with it"
        ),
    ),
    "custom_type": (
        {},
        (
            "The shop's own type of the event, if the model's shop defines types; null if it is a built-in one. "
            "`event_type` is the built-in type that it behaves like"
        ),
    ),
    "attributes": (
        {},
        (
            "The event's attributes by name, if the model's shop defines some: texts of categorical ones, numbers of "
            "numeric ones. Those that the event does not have are left out"
        ),
    ),
}
_OF_SHOP: Final[list[tuple[str, Any]]] = [("custom_type", str | None), ("attributes", dict[str, str | float])]


def score_schema() -> Schema:
    """Return the schema of a value of the scores topic, for models of any horizons and heads.

    Later versions may add fields. Consumers must let fields pass that they do not know.
    """
    standard = structs.fields(Score)
    extra = [*HeadNames(HEADS, has_money=True).fields, *_OF_SHOP]
    kinds: list[tuple[str, Any]] = [(field.name, field.type) for field in standard] + extra
    return {
        "$schema": DIALECT,
        "title": "Score",
        "description": "One accepted event with its propensities, on one line; a value of the scores topic. The three "
        "standard propensities are there unless the model was trained with other `--horizons`: then it has one "
        f"`{_PREFIX}<horizon>` for each of those. A model with goals of a shop's own has a `{_PREFIX}<goal>` for "
        "each: the probability of at least one event after this one that meets it, within its time. Later versions may "
        "add fields.",
        "type": "object",
        "properties": {name: _property(name, kind) for name, kind in kinds},
        "patternProperties": {f"^{_PREFIX}": {"type": ["number", "null"], **_PROPENSITY}},
        "required": [field.name for field in standard if field.required and not field.name.startswith(_PREFIX)],
        "not": {"propertyNames": {"not": {"pattern": f"^{_PREFIX}"}}},
        "if": {"properties": {"event_type": {"const": IMPRESSION}}},
        "then": {"required": ["shown"], "patternProperties": {f"^{_PREFIX}": {"type": "null"}}},
        "else": {"patternProperties": {f"^{_PREFIX}": {"type": "number"}}},
        "dependentRequired": {"next_type": ["next_type_propensity"], "next_type_propensity": ["next_type"]},
    }


def _property(name: str, kind: Any) -> Schema:  # noqa: ANN401 - a type annotation
    constraints, description = _FIELDS[name]
    return {"description": description, **_flat(msgspec.json.schema(kind)), **constraints}


def _flat(schema: Schema) -> Schema:
    """Return msgspec's schema of a simple type, with `anyOf` types written as one list."""
    if "anyOf" not in schema:
        return schema
    return {"type": [each["type"] for each in schema["anyOf"]]}
