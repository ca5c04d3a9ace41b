"""Questions to ClickHouse: parameters are bound by the server, failures are told apart by what helps."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager

from dashboard.errors import DashboardError, NotMigratedError, TooSlowError, UnavailableError
from dashboard.settings import Source
from service.tls_failures import tls_failure
from service.tls_probe import client_context, why_tls_fails

CONNECT_TIMEOUT_SECONDS: Final = 3
ANSWER_TIMEOUT_SECONDS: Final = 15
MAX_EXECUTION_SECONDS: Final = 10
_TLS_PORT: Final = 8443

_VARIABLES: Final = "CARTCAST_CLICKHOUSE__"
_ACCESS_CODES: Final = frozenset({192, 193, 194, 516})
"""UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED."""
_DENIED: Final = 497
"""ACCESS_DENIED: the user is known, but lacks a grant."""
_SCHEMA_CODES: Final = frozenset({16, 47, 60, 81})
"""NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE, UNKNOWN_DATABASE."""
_TOO_SLOW_CODES: Final = frozenset({159, 160})
"""TIMEOUT_EXCEEDED, TOO_SLOW."""

Row: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Mapping[str, str | int | float]


class Database:
    """The views of one database; connects when first asked, and again after a failure. Safe to share by threads."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._client: Client | None = None
        self._connecting = threading.Lock()

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Return one dict a row, times in UTC. `sql` names parameters as `{name:Type}` and holds no value itself.

        Raises UnavailableError, NotMigratedError, TooSlowError or DashboardError.
        """
        try:
            client = self._connected()
            answer = client.query(sql, parameters=dict(parameters or {}), settings=_limits(client))
        except ClickHouseError as failure:
            raise self._in_words(failure) from None
        names = answer.column_names
        return [dict(zip(names, map(_in_utc, row), strict=True)) for row in answer.result_rows]

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = _connect(self.source)
            return self._client

    def _in_words(self, failure: ClickHouseError) -> DashboardError:
        url = self.source.url
        if (code := getattr(failure, "code", None)) is None:
            words = self._what_tls_says(failure)
            kind = UnavailableError if words is None else DashboardError
            return kind(f"ClickHouse at {url} {words or 'does not answer'}")
        if code in _ACCESS_CODES:
            return DashboardError(
                f"ClickHouse at {url} refuses user {self.source.user}: "
                "correct CARTCAST_CLICKHOUSE__USER and CARTCAST_CLICKHOUSE__PASSWORD, then restart the dashboard"
            )
        if code == _DENIED:
            return DashboardError(
                f"ClickHouse at {url} does not let user {self.source.user} read the views: run "
                f"`GRANT SELECT ON {self.source.database}.* TO {self.source.user}` as an administrator"
            )
        if code in _SCHEMA_CODES:
            return NotMigratedError(f"database {self.source.database} at {url} lacks a view of this version")
        if code in _TOO_SLOW_CODES:
            return TooSlowError(f"ClickHouse gave up after {MAX_EXECUTION_SECONDS} s")
        name = getattr(failure, "name", None) or "error"
        return UnavailableError(f"ClickHouse at {url} cannot do it now: {name} (code {code})")

    def _what_tls_says(self, failure: ClickHouseError) -> str | None:
        """Return what is wrong with TLS; a client that was only cut off does not know, so the server is asked again."""
        url = urlsplit(self.source.url)
        if url.scheme != "https" or not url.hostname:
            return None
        if (words := tls_failure(failure, _VARIABLES)) is not None:
            return words
        context = client_context(**self.source.pool_options)
        return why_tls_fails(url.hostname, url.port or _TLS_PORT, context, _VARIABLES)


def _connect(source: Source) -> Client:
    url = urlsplit(source.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise DashboardError(f"{source.url} is no ClickHouse address: set CARTCAST_CLICKHOUSE__URL to http://HOST:PORT")
    return clickhouse_connect.get_client(
        interface=url.scheme,
        host=url.hostname,
        port=url.port or (_TLS_PORT if url.scheme == "https" else 8123),
        proxy_path=url.path,
        username=source.user,
        password=source.password.get_secret_value(),
        database=source.database,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        send_receive_timeout=ANSWER_TIMEOUT_SECONDS,
        autogenerate_session_id=False,  # every question stands alone: threads share the client
        client_name="cartcast-dashboard",
        client_cert=source.authenticating_certificate,
        pool_mgr=get_pool_manager(**source.pool_options),
    )


def _limits(client: Client) -> dict[str, int]:
    """Return the settings of a question; a user who may only read may not set any."""
    setting = client.server_settings.get("max_execution_time")
    return {} if setting is None or setting.readonly else {"max_execution_time": MAX_EXECUTION_SECONDS}


def _in_utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
