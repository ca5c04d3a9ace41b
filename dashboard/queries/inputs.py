"""Whether the events that the model is given are still like those of its reference period, field by field."""

from dataclasses import dataclass
from itertools import groupby
from math import log
from typing import Final

from dashboard.clickhouse import Row
from dashboard.queries.range import Asks, Range
from dashboard.queries.sample import DURING, SAMPLED, Sample

MOST_VALUES: Final = 20
"""Values of a field that are told apart; the rest are one."""
OTHERS: Final = "(others)"
_REFERENCE: Final = "event_time >= {reference_since:Int64} * 1000 AND event_time < {reference_until:Int64} * 1000"
_FIELDS: Final = """
    [('event type', toString(event_type)), ('channel', toString(channel)), ('category', toString(category)),
     ('price', multiIf(price IS NULL, '', price <= 0, '0', toString(pow(2, floor(log2(price)))))),
     ('hour of the day', leftPad(toString(toHour(toDateTime(intDiv(event_time, 1000), {zone:String}))), 2, '0'))]
"""
"""Prices by powers of two."""


@dataclass(frozen=True)
class Drift:
    """How far a field's values are from those of the reference."""

    field: str
    psi: float
    """population stability index over the values; half an event is added to each, so that none has infinite weight"""
    value: str
    """what changed most; empty: events without the field"""
    share: float
    reference_share: float
    """of the events that have this value, in the range and in the reference period"""
    events: int
    """in the range or in the reference period, whichever has fewer"""


def drift(asks: Asks, span: Range, reference: Range, sampled: Sample) -> list[Drift]:
    """Return the drift of each field in the range, the farthest first; view shopper_events.

    No rows if either holds no event.
    """
    counts = asks.rows(
        f"""
        SELECT field, if(place <= {MOST_VALUES}, value, '{OTHERS}') AS value, sum(now) AS n, sum(then) AS m FROM (
            SELECT *, row_number() OVER (PARTITION BY field ORDER BY now + then DESC, value) AS place FROM (
                SELECT each.1 AS field, each.2 AS value, countIf({DURING}) AS now, countIf({_REFERENCE}) AS then
                FROM shopper_events ARRAY JOIN {_FIELDS} AS each
                WHERE (({DURING}) OR ({_REFERENCE})) AND {SAMPLED}
                GROUP BY field, value
            )
        )
        GROUP BY field, value ORDER BY field, value LIMIT 1000
        """,  # noqa: S608 - constants, values are bound
        {
            **span.bound(),
            "reference_since": int(reference.since.timestamp()),
            "reference_until": int(reference.until.timestamp()),
            "last_hash": sampled.last_hash,
        },
    )
    found = [_drift(field, list(rows)) for field, rows in groupby(counts, key=lambda row: row["field"])]
    return sorted((each for each in found if each.events), key=lambda each: -each.psi)


def _drift(field: str, rows: list[Row]) -> Drift:
    """Return the drift of a field whose values have `n` events now and `m` in the reference period."""
    now, then = sum(row["n"] for row in rows), sum(row["m"] for row in rows)
    smoothed = [
        ((row["n"] + 0.5) / (now + len(rows) / 2), (row["m"] + 0.5) / (then + len(rows) / 2), row) for row in rows
    ]
    terms = [((p - q) * log(p / q), row) for p, q, row in smoothed]
    most = max(terms, key=lambda term: term[0])[1]
    share, reference_share = most["n"] / max(now, 1), most["m"] / max(then, 1)
    return Drift(field, sum(term for term, _ in terms), most["value"], share, reference_share, min(now, then))
