"""Columns for horizons beyond the standard three; they are named like the scores' fields, so that JSON fills them."""

from collections.abc import Iterable
from typing import Final

from clickhouse_connect.driver.client import Client

from model.events import propensity_field
from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.layout import layout_of, run
from sinks.table import TABLE

_ADD_COLUMN: Final = """
ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS {column} Float32 DEFAULT nan
        COMMENT 'probability of a purchase within {horizon} after the event; NaN if the model has no such horizon'
        CODEC(ZSTD(1)) AFTER propensity_24h,
    ADD CONSTRAINT IF NOT EXISTS {column} CHECK isNaN({column}) OR {column} BETWEEN 0 AND 1
"""


def add_column(column: str, horizon: str) -> str:
    """Return the statement that gives the table a column for a horizon, and its rule."""
    return _ADD_COLUMN.format(table=TABLE, column=column, horizon=horizon)


def add_columns(settings: ClickHouseSettings, horizons: Iterable[str]) -> list[str]:
    """Give the table a column for each of these horizons and return the names of the new ones; safe to repeat.

    `horizons` are valid (`model.training.labels.check_horizons`). Raises CartcastError.
    """
    with connected(settings, database=settings.database) as client:
        missing = _missing(client, horizons)
        for column, horizon in missing.items():
            run(client, layout_of(settings), add_column(column, horizon))
    return list(missing)


def without_column(settings: ClickHouseSettings, horizons: Iterable[str]) -> list[str]:
    """Return those of a model's horizons that the table has no column for, so that it leaves them out.

    Raises CartcastError.
    """
    with connected(settings, database=settings.database) as client:
        return list(_missing(client, horizons).values())


def _missing(client: Client, horizons: Iterable[str]) -> dict[str, str]:
    """Return the horizons without a column, by the name that it would have."""
    known = {str(name) for name, *_ in client.query(f"DESCRIBE TABLE {TABLE}").result_rows}
    wanted = {propensity_field(horizon): horizon for horizon in horizons}
    return {column: horizon for column, horizon in wanted.items() if column not in known}
