"""The JSON Schema of a recommendation, from the message type that the worker encodes."""

from typing import Any

import msgspec

from cartcast.reference.event_schema import DIALECT, Schema
from streams.recommendations import Recommendation


def recommendation_schema() -> Schema:
    """Return the schema of a value of the topic of recommendations.

    Later versions may add fields. Consumers must let fields pass that they do not know.
    """
    (schema,), components = msgspec.json.schema_components([Recommendation], ref_template="#/$defs/{name}")
    name = schema["$ref"].rpartition("/")[2]
    own: dict[str, Any] = components.pop(name)
    return {
        "$schema": DIALECT,
        **own,
        "description": "What the shopper of an event is likeliest to want next, right after it; a value of the topic "
        "of recommendations. Items and reasons are those that the look-up API would have given then. Later versions "
        "may add fields.",
        "$defs": components,
    }
