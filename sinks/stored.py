"""Rows of the table `scores`, read back: history for training and offline scoring, and one shopper's latest scores.

The table holds what a score says of its event: of its context the channel alone, of a text the beginning; and of a
shop's own what `migrate --shop` gave it columns for. Impressions, of which nothing is learnt, are not read back.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from msgspec import structs

from model.attributes import Places
from model.events import IMPRESSION, MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS, Event, propensity_field
from model.shop import NO_SHOP, Shop
from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError, UnavailableError
from sinks.schema.own_columns import missing_columns, own_columns
from sinks.table import CUSTOM_TYPE, TABLE

_ORDER: Final = ("scored_at", "source_topic", "source_partition", "source_offset")
"""The order in which events were scored."""
_MOMENT: Final = f"({', '.join(_ORDER)})"
_SOURCE: Final = "model, source_topic, source_partition, source_offset"
_PROPENSITIES: Final = f"COLUMNS('^{propensity_field('')}')"
_IS_EVENT: Final = f"event_type != '{IMPRESSION}'"
_WHERE: Final = f"WHERE event_time >= {{since:Int64}} AND event_time < {{until:Int64}} AND {_IS_EVENT}"
_EVENTS: Final = (
    "event_id, user_id, event_type, event_time, nullIf(item_id, ''), nullIf(category, ''), price, quantity, rating, "
    "nullIf(text, ''), nullIf(anonymous_id, ''), channel"
)
_COLUMNS: Final = 12
"""The number of columns that _EVENTS names."""
_BY_SHOPPER: Final = (
    "ORDER BY toUInt8(bitShiftRight(cityHash64(user_id), 56)), user_id, "
    "scored_at, source_topic, source_partition, source_offset"
)
"""Each shopper's events as they were scored. The table is sorted by shopper in this way, so that ClickHouse sorts one
at a time: its memory and the wait for the first row do not grow with the table."""
_AS_SCORED: Final = f"ORDER BY {', '.join(_ORDER)} SETTINGS max_bytes_before_external_sort = {1 << 30}"
"""All shoppers' events as they were scored, sorted on disk where they are many."""


@dataclass(frozen=True, slots=True)
class Period:
    """Event times from `since_ms` until before `until_ms`."""

    since_ms: int = MIN_EVENT_TIME_MS
    until_ms: int = MAX_EVENT_TIME_MS + 1

    @property
    def parameters(self) -> dict[str, int]:
        return {"since": self.since_ms, "until": self.until_ms}


class StoredHistory:
    """The events of the table `scores`, each shopper's in the order in which they were scored.

    Shopper after shopper, unless events name anonymous ids: those are followed from one shopper to the other, for which
    all must come in the order in which they were scored.
    """

    def __init__(self, settings: ClickHouseSettings, period: Period, shop: Shop = NO_SHOP) -> None:
        self._settings = settings
        self._period = period
        self._own = _OwnColumns(shop)

    def count(self) -> int:
        """Return how many events there are now; raises CartcastError."""
        with _reading(self._settings, "the history") as client:
            query = f"SELECT count() FROM {self._name} {_WHERE}"  # noqa: S608 - our own name
            return int(str(client.command(query, parameters=self._period.parameters)))

    def events(self) -> Iterator[Event]:
        """Yield the events while they arrive: memory does not grow with them. Raises CartcastError."""
        parameters: dict[str, Any] = self._period.parameters
        with (
            _reading(self._settings, "the history", self._own) as client,
            client.query_row_block_stream(self._query(client), parameters=parameters) as blocks,
        ):
            for block in blocks:
                for row in block:
                    yield self._own.event(row[:_COLUMNS], row[_COLUMNS:])

    @property
    def query(self) -> str:
        """The SQL that yields the events shopper after shopper; takes `since` and `until`."""
        return f"{self._selection} {_BY_SHOPPER}"

    def _query(self, client: Client) -> str:
        named = f"SELECT count() FROM {self._name} {_WHERE} AND anonymous_id != ''"  # noqa: S608 - our own name
        has_identities = int(str(client.command(named, parameters=self._period.parameters))) > 0
        return f"{self._selection} {_AS_SCORED}" if has_identities else self.query

    @property
    def _selection(self) -> str:
        return f"SELECT {_EVENTS}{self._own.selected} FROM {self._name} {_WHERE}"  # noqa: S608 - our own name

    @property
    def _name(self) -> str:
        return f"`{self._settings.database}`.{TABLE}"


def latest_event_ms(settings: ClickHouseSettings) -> int:
    """Return the time of the last event that no wrong clock has made, 0 if there is none; raises CartcastError."""
    with _reading(settings, "the history", _NO_COLUMNS) as client:
        return int(str(client.command(f"SELECT last_event FROM `{settings.database}`.data_span")))  # noqa: S608 - our own name


class _OwnColumns:
    """What rows say of a shop's own types and attributes."""

    def __init__(self, shop: Shop) -> None:
        self.names = tuple(own_columns(shop))
        self.selected = "".join(f", {name}" for name in self.names)
        self._shop = shop
        self._places = Places.canonical(shop)

    def require(self, client: Client, settings: ClickHouseSettings) -> None:
        """Raise RefusedError if the table lacks any of the columns."""
        if missing := missing_columns(client, self._shop):
            raise RefusedError(
                f"database {settings.database} at {settings.url} has no column {missing[0]}, which the shop's "
                "definition needs: run `cartcast migrate --shop FILE`"
            )

    def event(self, columns: Sequence[Any], own: Sequence[Any]) -> Event:
        """Return the event of a row's columns, those of `_EVENTS` and these."""
        *about, channel = columns
        event = Event(*(*about, {"channel": channel} if channel else None))
        found = dict(zip(self.names, own, strict=True))
        if not found:
            return event
        custom = found.get(CUSTOM_TYPE)
        return structs.replace(
            event, type=custom if custom in self._shop.types else event.type, attributes=self._places.read(found)
        )


_NO_COLUMNS: Final = _OwnColumns(NO_SHOP)


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
    settings: ClickHouseSettings,
    user_id: str,
    *,
    until_event_id: str | None = None,
    limit: int = 1000,
    shop: Shop = NO_SHOP,
) -> LatestScores:
    """Return a shopper's last scores, those up to an event if one is given; none if the table has none.

    Raises CartcastError.
    """
    own = _OwnColumns(shop)
    parameters = {"user": user_id, "event": until_event_id or "", "limit": limit}
    name = f"`{settings.database}`.{TABLE}"
    where = f"WHERE user_id = {{user:String}} AND {_IS_EVENT}"
    if until_event_id is not None:
        last = f"SELECT max({_MOMENT}) FROM {name} {where} AND event_id = {{event:String}}"  # noqa: S608 - our own names
        where += f" AND {_MOMENT} <= ({last})"
    newest_first = ", ".join(f"{column} DESC" for column in _ORDER)
    query = (
        f"SELECT {_EVENTS}, {_SOURCE}{own.selected}, {_PROPENSITIES} FROM {name} {where} ORDER BY {newest_first} "  # noqa: S608
        f"LIMIT 1 BY {', '.join(_ORDER[1:])} LIMIT {{limit:UInt32}}"
    )
    count = f"SELECT uniqExact({', '.join(_ORDER[1:])}) FROM {name} {where}"  # noqa: S608
    with _reading(settings, "the shopper's events", own) as client:
        found = client.query(query, parameters=parameters)
        total = int(str(client.command(count, parameters=parameters)))
    start = _COLUMNS + 4 + len(own.names)
    horizons = [column.removeprefix(propensity_field("")) for column in found.column_names[start:]]
    return LatestScores([_stored(row, horizons, own) for row in reversed(found.result_rows)], total)


def _stored(row: Any, horizons: list[str], own: _OwnColumns) -> StoredScore:  # noqa: ANN401 - a row of any columns
    event, (model, topic, partition, offset), rest = row[:_COLUMNS], row[_COLUMNS:][:4], row[_COLUMNS + 4 :]
    numbers = rest[len(own.names) :]
    known = {horizon: float(number) for horizon, number in zip(horizons, numbers, strict=True) if math.isfinite(number)}
    return StoredScore(own.event(event, rest[: len(own.names)]), model, topic, partition, offset, known)


@contextmanager
def _reading(settings: ClickHouseSettings, what: str, own: _OwnColumns = _NO_COLUMNS) -> Iterator[Client]:
    try:
        with connected(settings, database=settings.database) as client:
            own.require(client, settings)
            yield client
    except UnavailableError as failure:
        raise UnavailableError(f"{what} cannot be read: {failure}") from None
