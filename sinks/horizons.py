"""Columns for horizons beyond the standard three; they are named like the scores' fields, so that JSON fills them."""

from collections.abc import Iterable, Mapping
from typing import Final

from clickhouse_connect.driver.client import Client

from model.events import propensity_field
from sinks.clickhouse import connect, failures
from sinks.errors import RowsRefusedError, SinkError, UnavailableError
from sinks.settings import ClickHouseSettings
from sinks.table import TABLE

_ADD_COLUMN: Final = """
ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS {column} Float32 DEFAULT nan
        COMMENT 'probability of a purchase within {horizon} after the event; NaN if the model has no such horizon'
        CODEC(ZSTD(1)) AFTER propensity_24h,
    ADD CONSTRAINT IF NOT EXISTS {column} CHECK isNaN({column}) OR {column} BETWEEN 0 AND 1
"""


def add_columns(settings: ClickHouseSettings, horizons: Iterable[str]) -> list[str]:
    """Give the table a column for each of these horizons and return the names of the new ones; safe to repeat.

    `horizons` are valid (`model.labels.check_horizons`). Raises SinkError.
    """
    try:
        client = connect(settings, database=settings.database)
        try:
            with failures(settings):
                return _add(client, {propensity_field(horizon): horizon for horizon in horizons})
        finally:
            client.close_connections()
    except (UnavailableError, RowsRefusedError) as failure:
        raise SinkError(f"cannot add columns: {failure}; run `cartcast migrate` again, it is safe to repeat") from None


def _add(client: Client, wanted: Mapping[str, str]) -> list[str]:
    known = {str(name) for name, *_ in client.query(f"DESCRIBE TABLE {TABLE}").result_rows}
    missing = [column for column in wanted if column not in known]
    for column in missing:
        client.command(_ADD_COLUMN.format(table=TABLE, column=column, horizon=wanted[column]))
    return missing
