"""W3C Trace Context (https://www.w3.org/TR/trace-context-2/) on Kafka: which headers of a record go on to its score."""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
_PARENT: Final = re.compile(
    rb"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<rest>-[ -~]{0,200})?"
)
"""A later version than 00 may go on after a hyphen."""
_MOST_STATE_BYTES: Final = 8192
_SAMPLED: Final = 1

TraceHeaders: TypeAlias = tuple[tuple[str, bytes], ...]
"""`traceparent`, and `tracestate` if there is one; empty if a record is part of no trace."""


def trace_headers(headers: Iterable[tuple[str, bytes | None]]) -> TraceHeaders:
    """Return the trace headers among a record's headers, word for word.

    By the recommendation, a record with two `traceparent` headers, or a malformed one, has none; several `tracestate`
    headers are one list; and `tracestate` does not travel without `traceparent`.
    """
    parents, states = list[bytes | None](), list[bytes]()
    for name, value in headers:
        if name == TRACEPARENT:
            parents.append(value)
        elif name == TRACESTATE and value:
            states.append(value)
    if len(parents) != 1 or parsed(parents[0] or b"") is None:
        return ()
    parent, state = (TRACEPARENT, parents[0] or b""), b",".join(states)
    return (parent, (TRACESTATE, state)) if 0 < len(state) <= _MOST_STATE_BYTES else (parent,)


def parsed(traceparent: bytes) -> tuple[int, int, int] | None:
    """Return trace id, parent id and flags; None if it is malformed."""
    found = _PARENT.fullmatch(traceparent)
    if found is None or (found["version"] == b"00" and found["rest"]):
        return None
    return int(found["trace"], 16), int(found["span"], 16), int(found["flags"], 16)


def is_sampled(headers: TraceHeaders) -> bool:
    """Whether the trace is sampled."""
    found = parsed(headers[0][1]) if headers else None
    return found is not None and bool(found[2] & _SAMPLED)
