"""A sample of shoppers, where each of them is followed through the events: what is read is bounded.

They are those with the lowest hashes of their ids, with all that they did.
"""

from dataclasses import dataclass
from typing import Final

from dashboard.queries.range import Asks, Range, within

READ_EVENTS: Final = 750_000
"""About so many events are read for one question."""
SAMPLED: Final = (
    "toUInt8(bitShiftRight(shopper_hash, 56)) <= toUInt8(bitShiftRight({last_hash:UInt64}, 56)) "
    "AND shopper_hash <= {last_hash:UInt64}"
)
DURING: Final = "event_time >= {since:Int64} * 1000 AND event_time < {until:Int64} * 1000"
_MOST_HASH: Final = 2**64 - 1


@dataclass(frozen=True)
class Sample:
    """The shoppers whose events of a range are looked at."""

    share: float
    """of all shoppers"""

    @property
    def last_hash(self) -> int:
        return min(int(self.share * _MOST_HASH), _MOST_HASH)


def sample_of(asks: Asks, span: Range) -> Sample:
    """Return which shoppers to look at if all events of a range are read; view events_by_hour."""
    rows = asks.rows(
        "SELECT sum(e.events) AS events FROM events_by_hour AS e "  # noqa: S608
        f"WHERE {within('hour')} AND event_type != 'impression'",
        span.bound(),
    )
    return Sample(min(1.0, READ_EVENTS / max(int(rows[0]["events"]), 1)))
