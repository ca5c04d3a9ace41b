"""The texts and numbers of events as they stand in JSON: what a score repeats, byte by byte."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

USER_ID, EVENT_ID, ITEM_ID, CATEGORY, CHANNEL, TEXT, ANONYMOUS_ID, PRICE, QUANTITY, RATING = range(10)
"""The texts of an event, without their quotes; from PRICE on, numbers as they were written."""
TEXTS: Final = 10

_encode: Final = msgspec.json.Encoder().encode
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')
"""Characters that JSON strings cannot hold as they are."""


@dataclass(frozen=True, slots=True)
class EventTexts:
    """The texts of a batch of events."""

    buffer: npt.NDArray[np.uint8]
    spans: npt.NDArray[np.int64]
    """Where each text starts and ends in `buffer`; -1 and -1 if there is none `(events, TEXTS, 2)`. With a shop's
    definition its attributes follow, those that are numbers as they were written: `(events, TEXTS + attributes, 2)`."""

    @classmethod
    def of(
        cls, columns: Sequence[Sequence[str | None]], values: Sequence[Sequence[str | float | None]]
    ) -> "EventTexts":
        """Make them of the columns USER_ID to ANONYMOUS_ID, and of values: PRICE to RATING, then attributes."""
        parts = [*map(_json_bodies, columns), *map(_json_values, values)]
        spans, start = np.full((len(parts[0]), len(parts), 2), -1, np.int64), 0
        for text, bodies in enumerate(parts):
            ends = start + np.cumsum([len(body) if body else 0 for body in bodies], dtype=np.int64)
            spans[:, text, 1] = ends
            spans[1:, text, 0], spans[:1, text, 0] = ends[:-1], start
            spans[[body is None for body in bodies], text] = -1
            start = int(ends[-1]) if len(ends) else start
        joined = bytearray().join([body for bodies in parts for body in bodies if body])  # as writable as any array
        return cls(np.frombuffer(joined, np.uint8), spans)

    @classmethod
    def none(cls, events: int, attributes: int = 0) -> "EventTexts":
        """Return texts of events that have none."""
        return cls(np.empty(0, np.uint8), np.full((events, TEXTS + attributes, 2), -1, np.int64))

    @classmethod
    def concatenated(cls, parts: Sequence["EventTexts"]) -> "EventTexts":
        """Join the texts of several batches."""
        starts = np.cumsum([0, *(len(part.buffer) for part in parts)])
        spans = [
            np.where(part.spans[:, :, :1] < 0, -1, part.spans + start)
            for part, start in zip(parts, starts, strict=False)
        ]
        return cls(np.concatenate([part.buffer for part in parts]), np.concatenate(spans))

    def take(self, rows: npt.NDArray[np.int64]) -> "EventTexts":
        """Return the texts of some events."""
        return EventTexts(self.buffer, self.spans[rows])

    def strings(self, text: int) -> list[str | None]:
        """Return one text of every event."""
        joined = self.buffer.tobytes()
        return [None if start < 0 else _text(joined[start:end]) for start, end in self.spans[:, text].tolist()]


def _json_bodies(texts: Sequence[str | None]) -> list[bytes | None]:
    """Return what stands between the quotes of each text's JSON string."""
    joined = "".join([text for text in texts if text])
    if _ESCAPED.search(joined) is None:
        return [None if text is None else text.encode() for text in texts]
    return [None if text is None else _encode(text)[1:-1] for text in texts]


def _json_values(values: Sequence[str | float | None]) -> list[bytes | None]:
    """Return the JSON of numbers, and what stands between the quotes of texts."""
    return [None if one is None else _encode(one)[1:-1] if isinstance(one, str) else _encode(one) for one in values]


def _text(body: bytes) -> str:
    return msgspec.json.decode(b'"' + body + b'"', type=str) if b"\\" in body else body.decode()
