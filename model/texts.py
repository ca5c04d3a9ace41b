"""The short texts of events as they stand in JSON, between the quotes: what a score repeats, byte by byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

USER_ID, EVENT_ID, ITEM_ID, CATEGORY, CHANNEL, PRICE = range(6)
"""The texts of an event; a price is a number as it was written."""
TEXTS: Final = 6

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class EventTexts:
    """The texts of a batch of events."""

    buffer: npt.NDArray[np.uint8]
    spans: npt.NDArray[np.int64]
    """Where each text starts and ends in `buffer` `(events, TEXTS, 2)`; -1 and -1 if there is none."""

    @classmethod
    def of(cls, columns: Sequence[Sequence[bytes | None]]) -> "EventTexts":
        """Make them of one column per text."""
        spans, start = np.full((len(columns[0]), TEXTS, 2), -1, np.int64), 0
        for text, column in enumerate(columns):
            ends = start + np.cumsum([len(each or b"") for each in column])
            given = np.array([each is not None for each in column], np.bool_)
            spans[given, text, 0] = np.concatenate(([start], ends))[:-1][given]
            spans[given, text, 1] = ends[given]
            start = int(ends[-1]) if len(column) else start
        joined = b"".join([each or b"" for column in columns for each in column])
        return cls(np.frombuffer(joined, np.uint8), spans)

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


def json_body(text: str | None) -> bytes | None:
    """Return what stands between the quotes of a text's JSON string."""
    return None if text is None else _encode(text)[1:-1]


def json_number(number: float | None) -> bytes | None:
    """Return a number as JSON writes it."""
    return None if number is None else _encode(number)


def _text(body: bytes) -> str:
    return msgspec.json.decode(b'"' + body + b'"', type=str) if b"\\" in body else body.decode()
