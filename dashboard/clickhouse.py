"""Queries to ClickHouse: parameters are bound by the server, and every query has a limit."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from io import RawIOBase
from typing import Any, Final, TypeAlias, cast

from clickhouse_connect.driver.client import Client

from service.clickhouse import INTERACTIVE, connect, failures
from service.clickhouse_settings import ClickHouseSettings

MAX_EXECUTION_SECONDS: Final = 10
MAX_DOWNLOAD_SECONDS: Final = 600
_CHUNK_BYTES: Final = 1 << 16

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
            answer = client.query(
                sql, parameters=dict(parameters or {}), settings=_limits(client, MAX_EXECUTION_SECONDS)
            )
        names = answer.column_names
        return [dict(zip(names, map(_in_utc, row), strict=True)) for row in answer.result_rows]

    def csv(self, sql: str, parameters: Parameters) -> Iterator[bytes]:
        """Yield the answer as CSV with a header, piece by piece. Raises what `rows` does, at the first piece."""
        client = self._connected()
        with failures(self.settings):
            limits = _limits(client, MAX_DOWNLOAD_SECONDS)
            answer = client.raw_stream(sql, parameters=dict(parameters), settings=limits, fmt="CSVWithNames")
            with closing(cast("RawIOBase", answer)) as pieces:
                yield from iter(lambda: pieces.read(_CHUNK_BYTES) or b"", b"")

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = connect(
                    self.settings, database=self.settings.database, timeouts=INTERACTIVE, name="cartcast-dashboard"
                )
            return self._client


def _limits(client: Client, seconds: int) -> dict[str, int]:
    """Return the settings of a query; a user who may only read may not set any."""
    setting = client.server_settings.get("max_execution_time")
    return {} if setting is None or setting.readonly else {"max_execution_time": seconds}


def _in_utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
