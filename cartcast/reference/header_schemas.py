"""The JSON Schemas of records' headers, each header as the text of its UTF-8 bytes; from the code that makes them."""

from typing import Final

import numpy as np

from cartcast.reference.event_schema import DIALECT, Schema
from model.core.byte_strings import ByteStrings
from model.validate import LATE, Reject, WireEvent
from service.kafka import CUT_BYTES, cut_dead_letter, source_headers
from service.signatures import SIGNATURE
from streams.fetch import Fetch
from streams.messages import UNPACKED, dead_letter_records
from streams.observe.trace_context import TRACEPARENT, TRACESTATE
from streams.records.compression import MOST_UNPACKED_BYTES

REASONS: Final = ("tombstone", "empty", "encoding", "json", "object", "nesting", "key", LATE, UNPACKED)
"""The kinds of damage that are no single field's fault."""
_WHOLE_NUMBER: Final = r"^(0|[1-9][0-9]*)$"
_FIELDS: Final[dict[str, Schema]] = {
    "topic": {"description": "Topic of the event's record", "pattern": r"^[a-zA-Z0-9._-]{1,249}$"},
    "partition": {"description": "Partition of the event's record, in decimal digits", "pattern": _WHOLE_NUMBER},
    "offset": {"description": "Offset of the event's record, in decimal digits", "pattern": _WHOLE_NUMBER},
    "reason": {
        "description": "Why it is no event, in a word to group by: the field at fault, or the kind of damage. Other "
        "input formats have fields of other names",
        "pattern": r"^\S+$",
        "examples": [*REASONS, *(name for name in WireEvent.__struct_fields__ if name != "context")],
    },
    "bytes": {"description": "Size of the whole value, if the dead letter is cut", "pattern": _WHOLE_NUMBER},
    "sha256": {"description": "SHA-256 of the whole value, if the dead letter is cut", "pattern": "^[0-9a-f]{64}$"},
    "error": {"description": "The same in a sentence, which never quotes the shopper's data", "minLength": 1},
}
_OPTIONAL: Final[dict[str, Schema]] = {
    SIGNATURE: {
        "type": "string",
        "description": "HMAC-SHA256 of the value under the first of kafka.score_keys, in hexadecimal digits; absent if "
        "there is no key",
        "pattern": "^[0-9a-f]{64}$",
    },
    TRACEPARENT: {
        "type": "string",
        "description": "W3C trace context, word for word as the event's record had it; absent if that had none, or a "
        "malformed one",
        "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$",
    },
    TRACESTATE: {"type": "string", "description": "W3C trace state, as the event's record had it", "minLength": 1},
}


def score_headers_schema() -> Schema:
    """Return the schema of the headers of a record of the scores topic, and of that of recommendations."""
    schema = _schema(
        "Score headers",
        "Which event's record the score belongs to, or the recommendation, whose headers are the same, and the trace "
        "that the event's producer began. Within one "
        "partition offsets rise, except where a record repeats one before it, equal to it.",
        [name for name, _ in source_headers(_fetch().topic, 0, 0)],
    )
    return {
        **schema,
        "properties": {**schema["properties"], **_OPTIONAL},
        "dependentRequired": {TRACESTATE: [TRACEPARENT]},
    }


def dead_letter_headers_schema() -> Schema:
    """Return the schema of the headers of a record of the dead-letter topic."""
    (record,) = dead_letter_records(_fetch(), [Reject(0, "json", "not JSON")])
    names = [name for name, _ in record.headers or ()]
    schema = _schema(
        "Dead-letter headers",
        "Where the record lay that is no event, and why. Key and value of the dead letter are that record's bytes; if "
        f"these are too large for the topic, they are the first {CUT_BYTES:,} bytes of each, and two headers more tell "
        f"of the whole value. A batch of records that is damaged, or has more than {MOST_UNPACKED_BYTES:,} bytes when "
        f"it is unpacked, is one dead letter of reason {UNPACKED}, cut so, of its bytes as they were sent, at its last "
        "offset; `error` names the first.",
        names,
    )
    _, _, headers = cut_dead_letter(None, None, [])
    cut = {name: {"type": "string", **_FIELDS[name]} for name, _ in headers}
    return {**schema, "properties": {**schema["properties"], **cut}, "dependentRequired": {"sha256": ["bytes"]}}


def _schema(title: str, description: str, names: list[str]) -> Schema:
    return {
        "$schema": DIALECT,
        "title": title,
        "description": description + " Each header is the UTF-8 of the text that stands here. Later versions may add "
        "headers.",
        "type": "object",
        "properties": {name: {"type": "string", **_FIELDS[name]} for name in names},
        "required": names,
    }


def _fetch() -> Fetch:
    """Return a fetch of one record, to make headers of."""
    return Fetch(
        "cartcast.events",
        0,
        ByteStrings.of([b"u1"]),
        ByteStrings.of([b"{"]),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )
