"""From columns to the JSON of `streams.recommendations.Recommendation`, one compiled call for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from model.core.compiled import compiled
from model.core.encode import LONGEST_NUMBER, copy, write_number
from model.core.texts import EVENT_ID, USER_ID, EventTexts
from streams.records.layout import Bytes, Integers

_NUMBERS: Final = 4
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class RecordTemplate:
    """What stands between the values of a recommendation, which is the same for all of a partition."""

    pieces: ByteStrings
    types: ByteStrings
    """The JSON of the type of event, by its code."""

    @classmethod
    def of(cls, types: Sequence[str], *, goal: str, model: str, source_topic: str, source_partition: int) -> Self:
        """Make that of a model and its types of event; the order is that of the fields of `Recommendation`."""
        made = b',"goal":%s,"model":%s,"items":' % (_encode(goal), _encode(model))
        source = b',"source_topic":%s,"source_partition":%d' % (
            _encode(source_topic),
            source_partition,
        )
        pieces = [
            *(b'{"user_id":"', b'","event_id":"', b'","event_type":', b',"event_time":', made),
            *(source + b',"source_offset":', b',"source_timestamp":', b',"recommended_at":', b"}"),
        ]
        return cls(ByteStrings.of(pieces), ByteStrings.of([_encode(name) for name in types]))


def encode_recommendations(  # noqa: PLR0913, PLR0917 - the columns of a recommendation
    template: RecordTemplate,
    texts: EventTexts,
    types: npt.NDArray[np.uint8],
    times_ms: Integers,
    lists: ByteStrings,
    offsets: Integers,
    timestamps_ms: Integers,
    recommended_at_ms: int,
) -> ByteStrings:
    """Return the JSON of each; every column has one entry per recommendation, `lists` the JSON of their items."""
    pieces, names = template.pieces, np.ascontiguousarray(texts.spans[:, [USER_ID, EVENT_ID]])  # (events, 2, 2)
    longest_type = int(_lengths(template.types.spans).max())
    size = len(types) * (len(pieces.buffer) + longest_type + _NUMBERS * LONGEST_NUMBER)
    out = np.empty(size + int(_lengths(lists.spans).sum() + _lengths(names).sum()), np.uint8)
    ends = np.empty(len(types), np.int64)
    write_recommendations(
        pieces.buffer,
        pieces.spans,
        template.types.buffer,
        template.types.spans,
        texts.buffer,
        names,
        types,
        times_ms,
        lists.buffer,
        lists.spans,
        offsets,
        timestamps_ms,
        recommended_at_ms,
        out,
        ends,
    )
    return ByteStrings.of_bounds(out, ends)


def _lengths(spans: Integers) -> Integers:
    lengths: Integers = spans[..., 1] - spans[..., 0]
    return lengths


@compiled
def write_recommendations(  # noqa: PLR0913, PLR0917 - the columns of a recommendation
    pieces: Bytes,
    piece_spans: Integers,
    type_names: Bytes,
    type_spans: Integers,
    texts: Bytes,
    names: Integers,
    types: npt.NDArray[np.uint8],
    times_ms: Integers,
    lists: Bytes,
    list_spans: Integers,
    offsets: Integers,
    timestamps_ms: Integers,
    recommended_at_ms: int,
    out: Bytes,
    ends: Integers,
) -> None:
    """Write every recommendation to `out`, one behind the other, and where it ends."""
    at = 0
    for row in range(len(types)):
        at = _span(out, _span(out, at, pieces, piece_spans[0]), texts, names[row, 0])
        at = _span(out, _span(out, at, pieces, piece_spans[1]), texts, names[row, 1])
        at = _span(out, _span(out, at, pieces, piece_spans[2]), type_names, type_spans[types[row]])
        at = write_number(out, _span(out, at, pieces, piece_spans[3]), times_ms[row])
        at = _span(out, _span(out, at, pieces, piece_spans[4]), lists, list_spans[row])
        at = write_number(out, _span(out, at, pieces, piece_spans[5]), offsets[row])
        at = write_number(out, _span(out, at, pieces, piece_spans[6]), timestamps_ms[row])
        at = write_number(out, _span(out, at, pieces, piece_spans[7]), recommended_at_ms)
        at = _span(out, at, pieces, piece_spans[8])
        ends[row] = at


@compiled
def _span(out: Bytes, at: int, source: Bytes, span: Integers) -> int:
    return copy(out, at, source, span[0], span[1])
