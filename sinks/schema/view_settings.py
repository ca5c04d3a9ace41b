"""What views need of the settings: rows of a small table, so that a change needs no new view."""

from datetime import datetime
from typing import Final

from clickhouse_connect.driver.client import Client

from service.clickhouse_settings import ClickHouseSettings, as_utc

TABLE: Final = "view_settings"
NAMES: Final = ("segment_high", "segment_medium", "drift_reference_from", "drift_reference_to")
"""Fields of ClickHouseSettings; the view `bounds` has the same names and the same defaults."""


def write_view_settings(client: Client, settings: ClickHouseSettings) -> list[str]:
    """Tell the views of settings that have changed; returns what was changed, for a user to read."""
    rows = client.query(f"SELECT name, argMax(value, changed_at) FROM {TABLE} GROUP BY name").result_rows  # noqa: S608
    known = _values(ClickHouseSettings()) | {str(name): str(value) for name, value in rows}
    changed = [[name, value] for name, value in _values(settings).items() if known[name] != value]
    if changed:
        client.insert(TABLE, changed, column_names=["name", "value"])
    return [f"setting {name} = {value or 'none'}" for name, value in changed]


def _values(settings: ClickHouseSettings) -> dict[str, str]:
    return {name: _as_text(getattr(settings, name)) for name in NAMES}


def _as_text(value: float | datetime | None) -> str:
    if value is None:
        return ""
    return as_utc(value).strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else repr(value)
