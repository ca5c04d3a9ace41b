"""Settings that `migrate` applies to the database: rows for the views to read, and how long rows are kept."""

from datetime import datetime
from typing import Final

from clickhouse_connect.driver.client import Client

from service.clickhouse_settings import ClickHouseSettings, as_utc
from sinks.schema.layout import Layout, run

VIEW_SETTINGS: Final = "view_settings"
NAMES: Final = ("segment_high", "segment_medium", "drift_reference_from", "drift_reference_to", "evaluated_scores")
"""Fields of ClickHouseSettings; the view `bounds` has the same names and the same defaults."""


def write_view_settings(client: Client, settings: ClickHouseSettings) -> list[str]:
    """Write the settings that have changed, for the views to read; return what was changed, for a user to read."""
    rows = client.query(f"SELECT name, argMax(value, changed_at) FROM {VIEW_SETTINGS} GROUP BY name").result_rows  # noqa: S608
    known = _values(ClickHouseSettings()) | {str(name): str(value) for name, value in rows}
    changed = [[name, value] for name, value in _values(settings).items() if known[name] != value]
    if changed:
        client.insert(VIEW_SETTINGS, changed, column_names=["name", "value"])
    return [f"setting {name} = {value or 'none'}" for name, value in changed]


def _values(settings: ClickHouseSettings) -> dict[str, str]:
    return {name: _as_text(getattr(settings, name)) for name in NAMES}


def _as_text(value: float | datetime | None) -> str:
    if value is None:
        return ""
    return as_utc(value).strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else repr(value)


RETAINED: Final = {
    "scores": "toDateTime(fromUnixTimestamp64Milli(scored_at, 'UTC'))",
    "dead_letters": "toDateTime(dead_at)",
    "recommendations": "toDateTime(fromUnixTimestamp64Milli(recommended_at, 'UTC'))",
}
"""When a row's days begin, per table: when Cartcast made it, as a history that is replayed happened long ago."""


def set_retention(client: Client, layout: Layout, days: int) -> list[str]:
    """Have rows removed `days` after they were made, 0 for never; returns what was changed, for a user to read."""
    changed = [table for table in RETAINED if _kept_days(client, layout.holder(table)) != days]
    for table in changed:
        run(client, layout, retention(table, days))
    return [f"retention of {table}: {f'{days} days' if days else 'for ever'}" for table in changed]


def retention(table: str, days: int) -> str:
    """Return the statement that has a table keep its rows for so long, 0 for ever."""
    return f"ALTER TABLE {table} " + (f"MODIFY TTL {RETAINED[table]} + INTERVAL {days} DAY" if days else "REMOVE TTL")


def _kept_days(client: Client, table: str) -> int:
    """Return the days of the table's TTL, 0 if it has none."""
    query = (
        "SELECT toUInt32OrZero(extract(engine_full, 'TTL .*?toIntervalDay\\\\((\\\\d+)\\\\)')) FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}"
    )
    return int(str(client.command(query, parameters={"table": table})))
