"""One shopper's latest scores, read back from the table: what an explanation without a worker is made from."""

import math
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from model.events import Event, propensity_field
from service.clickhouse import connect, failures
from sinks.errors import RowsRefusedError, SinkError, UnavailableError
from sinks.settings import ClickHouseSettings
from sinks.table import TABLE

_ORDER: Final = ("scored_at", "source_topic", "source_partition", "source_offset")
"""The order in which events were scored."""
_MOMENT: Final = f"({', '.join(_ORDER)})"
_EVENT: Final = "event_id, user_id, event_type, event_time, nullIf(item_id, ''), nullIf(category, ''), price"
_SOURCE: Final = "model, source_topic, source_partition, source_offset"
_PROPENSITIES: Final = f"COLUMNS('^{propensity_field('')}')"


@dataclass(frozen=True, slots=True)
class StoredScore:
    """One row of the table. An event's words (`text`), quantity, rating and context are not in it."""

    event: Event
    model: str
    source_topic: str
    source_partition: int
    source_offset: int
    propensities: dict[str, float]
    """By horizon, as published; those that the score has."""


@dataclass(frozen=True, slots=True)
class LatestScores:
    """A shopper's latest scores, oldest first, and how many there are in all up to the last of them."""

    scores: list[StoredScore]
    count: int


def latest_scores(
    settings: ClickHouseSettings, user_id: str, *, until_event_id: str | None = None, limit: int = 1000
) -> LatestScores:
    """Return a shopper's last scores, those up to an event if one is given; none if the table has none.

    Raises SinkError.
    """
    client: Client
    parameters = {"user": user_id, "event": until_event_id or "", "limit": limit}
    name = f"`{settings.database}`.{TABLE}"
    where = "WHERE user_id = {user:String}"
    if until_event_id is not None:
        last = f"SELECT max({_MOMENT}) FROM {name} {where} AND event_id = {{event:String}}"  # noqa: S608 - our own names
        where += f" AND {_MOMENT} <= ({last})"
    newest_first = ", ".join(f"{column} DESC" for column in _ORDER)
    query = (
        f"SELECT {_EVENT}, {_SOURCE}, {_PROPENSITIES} FROM {name} {where} ORDER BY {newest_first} "  # noqa: S608
        f"LIMIT 1 BY {', '.join(_ORDER[1:])} LIMIT {{limit:UInt32}}"
    )
    count = f"SELECT uniqExact({', '.join(_ORDER[1:])}) FROM {name} {where}"  # noqa: S608
    try:
        client = connect(settings)
        try:
            with failures(settings):
                found = client.query(query, parameters=parameters)
                total = int(str(client.command(count, parameters=parameters)))
        finally:
            client.close_connections()
    except (UnavailableError, RowsRefusedError) as failure:
        raise SinkError(f"the shopper's events cannot be read: {failure}; try again when it answers") from None
    horizons = [column.removeprefix(propensity_field("")) for column in found.column_names[11:]]
    return LatestScores([_stored(row, horizons) for row in reversed(found.result_rows)], total)


def _stored(row: Any, horizons: list[str]) -> StoredScore:  # noqa: ANN401 - a row of any columns
    known = {
        horizon: float(number) for horizon, number in zip(horizons, row[11:], strict=True) if math.isfinite(number)
    }
    model, topic, partition, offset = row[7:11]
    return StoredScore(Event(*row[:7]), model, topic, partition, offset, known)
