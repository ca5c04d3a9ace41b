"""Databases with all tables and views, lent to one test after another: to migrate one costs seconds of CPU."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate
from tests.harness.waiting import eventually

SCHEMA = """
SELECT groupBitXor(cityHash64(name, create_table_query)) FROM system.tables WHERE database = currentDatabase()
"""
TABLES = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'schema_migrations'
"""
RUNNING = """
SELECT count() FROM system.processes WHERE current_database = currentDatabase() AND query NOT LIKE '%count()%'
"""


class Databases:
    """The migrated databases of one engine."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: list[tuple[ClickHouseSettings, str]] = []

    @contextmanager
    def lend(self) -> Iterator[ClickHouseSettings]:
        """Yield an empty database; one whose tables or views a test has changed is dropped afterwards."""
        settings, schema = self._free.pop() if self._free else self._migrated()
        yield settings
        client = connect(settings, database=settings.database)
        if schema == client.command(SCHEMA):
            _empty(client)
            self._free.append((settings, schema))
        else:
            client.command(f"DROP DATABASE {settings.database}")
        client.close_connections()

    def _migrated(self) -> tuple[ClickHouseSettings, str]:
        settings = ClickHouseSettings(url=self._url, database=f"d{secrets.token_hex(4)}", retention_days=0)
        migrate(settings)
        client = connect(settings, database=settings.database)
        schema = client.command(SCHEMA)
        _empty(client)
        client.close_connections()
        return settings, schema


def _empty(client: Client) -> None:
    eventually(lambda: client.command(RUNNING) == 0, "the end of what runs in the database")
    for (table,) in client.query(TABLES).result_rows:
        client.command(f"TRUNCATE TABLE {table}")
