"""From arrays to the bytes of output records."""

import math
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.events import EVENT_TYPES, MakeScore, Score
from model.propensities import published
from model.validate import Reject
from service.kafka import dead_letter_headers, source_headers
from streams.fetch import Fetch
from streams.publisher import Record

_encode: Final = msgspec.json.Encoder().encode


def score_records(  # noqa: PLR0913 - a score says all of this
    fetch: Fetch,
    batch: EventBatch,
    rows: npt.NDArray[np.int64],
    propensities: npt.NDArray[np.float32],
    *,
    model: str,
    scored_at_ms: int,
    make: MakeScore = Score,
    extra: Sequence[Sequence[Any]] = (),
) -> list[Record]:
    """Return one record an accepted event, in source order.

    `rows` are the accepted rows of the batch in any order, `propensities` `(len(rows), horizons)` and the columns of
    `extra` belong to them; `make` is the `score_type` of these horizons and columns.
    """
    order = np.argsort(rows)
    rows = rows[order]
    answers = list(zip(*extra, strict=True))
    rounded = published(propensities[order])
    positions = batch.positions[rows]
    topic, partition, _ = source_headers(fetch.topic, fetch.partition, 0)
    columns = zip(
        rows.tolist(),
        positions.tolist(),
        fetch.offsets[positions].tolist(),
        batch.type_codes[rows].tolist(),
        batch.prices[rows].tolist(),
        batch.event_time_ms[rows].tolist(),
        rounded.tolist(),
        [answers[place] for place in order.tolist()] if extra else repeat((), len(rows)),
        fetch.timestamps_ms[positions].tolist(),
        strict=True,
    )
    records = [
        Record(
            fetch.keys[position],
            _encode(
                make(
                    batch.user_ids[row],
                    batch.event_ids[row],
                    EVENT_TYPES[type_code],
                    batch.item_ids[row],
                    batch.categories[row],
                    None if math.isnan(price) else price,
                    event_time_ms,
                    *numbers,
                    *answer,
                    model,
                    fetch.topic,
                    fetch.partition,
                    offset,
                    scored_at_ms,
                    batch.channels[row],
                    source_timestamp_ms,
                )
            ),
            [topic, partition, ("offset", b"%d" % offset)],
        )
        for row, position, offset, type_code, price, event_time_ms, numbers, answer, source_timestamp_ms in columns
    ]
    if fetch.traces:
        for record, offset in zip(records, fetch.offsets[positions].tolist(), strict=True):
            record.headers.extend(fetch.traces.get(offset, ()))  # type: ignore[union-attr] # made above
    return records


def dead_letter_records(fetch: Fetch, rejects: list[Reject]) -> list[Record]:
    """Return one record a reject: key and value as received, headers that say where it lay and what is wrong."""
    return [
        Record(
            fetch.keys[reject.position],
            fetch.values[reject.position],
            dead_letter_headers(
                source_headers(fetch.topic, fetch.partition, int(fetch.offsets[reject.position])),
                reason=reject.reason,
                error=reject.error,
            ),
        )
        for reject in rejects
    ]
