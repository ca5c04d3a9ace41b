"""Queries to ClickHouse: parameters are bound by the server, and every query has a limit."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from clickhouse_connect.driver.client import Client

from service.clickhouse import INTERACTIVE, connect, failures
from service.clickhouse_settings import ClickHouseSettings

MAX_EXECUTION_SECONDS: Final = 10

Row: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Mapping[str, str | int | float]


class Database:
    """The views of one database; connects at the first query, and again after a failure. Safe to share by threads."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.settings = settings
        self._client: Client | None = None
        self._connecting = threading.Lock()

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Return one dict per row, times in UTC. `sql` names parameters as `{name:Type}` and holds no value itself.

        Raises UnavailableError, TooSlowError, NotMigratedError or RefusedError.
        """
        client = self._connected()
        with failures(self.settings):
            answer = client.query(sql, parameters=dict(parameters or {}), settings=_limits(client))
        names = answer.column_names
        return [dict(zip(names, map(_in_utc, row), strict=True)) for row in answer.result_rows]

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = connect(
                    self.settings, database=self.settings.database, timeouts=INTERACTIVE, name="cartcast-dashboard"
                )
            return self._client


def _limits(client: Client) -> dict[str, int]:
    """Return the settings of a query; a user who may only read may not set any."""
    setting = client.server_settings.get("max_execution_time")
    return {} if setting is None or setting.readonly else {"max_execution_time": MAX_EXECUTION_SECONDS}


def _in_utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
