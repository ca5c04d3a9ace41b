"""Rows of the table `scores`, read back: history for training and offline scoring, and one shopper's latest scores.

The table holds what a score says of its event: of its context the channel alone, of a text the beginning.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS, Event, propensity_field
from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
from sinks.table import TABLE

_ORDER: Final = ("scored_at", "source_topic", "source_partition", "source_offset")
"""The order in which events were scored."""
_MOMENT: Final = f"({', '.join(_ORDER)})"
_SOURCE: Final = "model, source_topic, source_partition, source_offset"
_PROPENSITIES: Final = f"COLUMNS('^{propensity_field('')}')"
_WHERE: Final = "WHERE event_time >= {since:Int64} AND event_time < {until:Int64}"
_EVENTS: Final = (
    "event_id, user_id, event_type, event_time, nullIf(item_id, ''), nullIf(category, ''), price, quantity, rating, "
    "nullIf(text, ''), channel"
)
_COLUMNS: Final = 11
"""The number of columns that _EVENTS names."""
_BY_SHOPPER: Final = (
    "ORDER BY toUInt8(bitShiftRight(cityHash64(user_id), 56)), user_id, "
    "scored_at, source_topic, source_partition, source_offset"
)
"""Each shopper's events as they were scored. The table is sorted by shopper in this way, so that ClickHouse sorts one
at a time: its memory and the wait for the first row do not grow with the table."""


@dataclass(frozen=True, slots=True)
class Period:
    """Event times from `since_ms` until before `until_ms`."""

    since_ms: int = MIN_EVENT_TIME_MS
    until_ms: int = MAX_EVENT_TIME_MS + 1

    @property
    def parameters(self) -> dict[str, int]:
        return {"since": self.since_ms, "until": self.until_ms}


class StoredHistory:
    """The events of the table `scores`, shopper after shopper, each one's in the order in which they were scored."""

    def __init__(self, settings: ClickHouseSettings, period: Period) -> None:
        self._settings = settings
        self._period = period

    def count(self) -> int:
        """Return how many events there are now; raises CartcastError."""
        with _reading(self._settings, "the history") as client:
            query = f"SELECT count() FROM {self._name} {_WHERE}"  # noqa: S608 - our own name
            return int(str(client.command(query, parameters=self._period.parameters)))

    def events(self) -> Iterator[Event]:
        """Yield the events while they arrive: memory does not grow with them. Raises CartcastError."""
        parameters: dict[str, Any] = self._period.parameters
        with (
            _reading(self._settings, "the history") as client,
            client.query_row_block_stream(self.query, parameters=parameters) as blocks,
        ):
            for block in blocks:
                for row in block:
                    yield _event(row)

    @property
    def query(self) -> str:
        """The SQL that yields the events; takes `since` and `until`."""
        return f"SELECT {_EVENTS} FROM {self._name} {_WHERE} {_BY_SHOPPER}"  # noqa: S608 - our own name

    @property
    def _name(self) -> str:
        return f"`{self._settings.database}`.{TABLE}"


def latest_event_ms(settings: ClickHouseSettings) -> int:
    """Return the time of the last event that no wrong clock has made, 0 if there is none; raises CartcastError."""
    with _reading(settings, "the history") as client:
        return int(str(client.command(f"SELECT last_event FROM `{settings.database}`.data_span")))  # noqa: S608 - our own name


@dataclass(frozen=True, slots=True)
class StoredScore:
    """One row of the table."""

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

    Raises CartcastError.
    """
    parameters = {"user": user_id, "event": until_event_id or "", "limit": limit}
    name = f"`{settings.database}`.{TABLE}"
    where = "WHERE user_id = {user:String}"
    if until_event_id is not None:
        last = f"SELECT max({_MOMENT}) FROM {name} {where} AND event_id = {{event:String}}"  # noqa: S608 - our own names
        where += f" AND {_MOMENT} <= ({last})"
    newest_first = ", ".join(f"{column} DESC" for column in _ORDER)
    query = (
        f"SELECT {_EVENTS}, {_SOURCE}, {_PROPENSITIES} FROM {name} {where} ORDER BY {newest_first} "  # noqa: S608
        f"LIMIT 1 BY {', '.join(_ORDER[1:])} LIMIT {{limit:UInt32}}"
    )
    count = f"SELECT uniqExact({', '.join(_ORDER[1:])}) FROM {name} {where}"  # noqa: S608
    with _reading(settings, "the shopper's events") as client:
        found = client.query(query, parameters=parameters)
        total = int(str(client.command(count, parameters=parameters)))
    horizons = [column.removeprefix(propensity_field("")) for column in found.column_names[_COLUMNS + 4 :]]
    return LatestScores([_stored(row, horizons) for row in reversed(found.result_rows)], total)


def _stored(row: Any, horizons: list[str]) -> StoredScore:  # noqa: ANN401 - a row of any columns
    event, (model, topic, partition, offset), numbers = row[:_COLUMNS], row[_COLUMNS:][:4], row[_COLUMNS + 4 :]
    known = {horizon: float(number) for horizon, number in zip(horizons, numbers, strict=True) if math.isfinite(number)}
    return StoredScore(_event(event), model, topic, partition, offset, known)


def _event(row: Any) -> Event:  # noqa: ANN401 - the columns of _EVENTS
    *about, channel = row
    return Event(*(*about, {"channel": channel} if channel else None))


@contextmanager
def _reading(settings: ClickHouseSettings, what: str) -> Iterator[Client]:
    try:
        with connected(settings) as client:
            yield client
    except UnavailableError as failure:
        raise UnavailableError(f"{what} cannot be read: {failure}") from None
