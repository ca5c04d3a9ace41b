"""ClickHouse over HTTP: connect, and say of every failure whether waiting helps, rows are bad, or a user must act."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager

from service.tls_failures import tls_failure
from service.tls_probe import client_context, why_tls_fails
from sinks.errors import RowsRefusedError, SinkError, UnavailableError
from sinks.settings import ClickHouseSettings

CONNECT_TIMEOUT_SECONDS: Final = 5
ANSWER_TIMEOUT_SECONDS: Final = 60
TLS_PORT: Final = 8443

VARIABLES: Final = "CARTCAST_CLICKHOUSE__"
_ACCESS_CODES: Final = frozenset({192, 193, 194, 516})
"""UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED."""
_DENIED: Final = 497
"""ACCESS_DENIED: the user is known, but lacks a grant."""
_SCHEMA_CODES: Final = frozenset({16, 47, 60, 81})
"""NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE, UNKNOWN_DATABASE."""
_ROW_CODES: Final = frozenset(
    {6, 25, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 321, 349, 376, 467, 469, 632, 691}
)
"""The format or the table cannot take a row: CANNOT_PARSE_*, TYPE_MISMATCH, INCORRECT_DATA, VIOLATED_CONSTRAINT ..."""

_READING_COLUMN: Final = re.compile(r"while reading the value of key (\w+)")
_BROKEN_RULE: Final = re.compile(r"Constraint `(\w+)`")
_SYSTEM_ERROR: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)")
_MISSING_GRANT: Final = re.compile(r"necessary to have the grant ([^.]+(?:\.[^\s.]+)?)")
_FOREIGN_SERVER: Final = re.compile(r"HTTP status 4\d\d")


def connect(settings: ClickHouseSettings, *, database: str | None = None) -> Client:
    """Return a client for one thread; raises UnavailableError or SinkError.

    Every request stands alone (no session), so a request that timed out does not block the next. Connections are
    direct: a proxy that the machine's environment names for the web is not for the database.
    """
    url = urlsplit(settings.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise SinkError(f"{settings.url} is no ClickHouse address: set CARTCAST_CLICKHOUSE__URL to http://HOST:PORT")
    with failures(settings):
        return clickhouse_connect.get_client(
            interface=url.scheme,
            host=url.hostname,
            port=url.port or (TLS_PORT if url.scheme == "https" else 8123),
            proxy_path=url.path,
            username=settings.user,
            password=settings.password.get_secret_value(),
            database=database,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            send_receive_timeout=ANSWER_TIMEOUT_SECONDS,
            autogenerate_session_id=False,
            client_name="cartcast",
            client_cert=settings.authenticating_certificate,
            pool_mgr=get_pool_manager(**settings.pool_options()),
        )


@contextmanager
def failures(settings: ClickHouseSettings, column_types: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn the client's exceptions into UnavailableError, RowsRefusedError (its text without values) or SinkError."""
    try:
        yield
    except ClickHouseError as failure:
        code = getattr(failure, "code", None)
        where = f"ClickHouse at {settings.url}"
        if code in _ACCESS_CODES:
            raise SinkError(
                f"{where} refuses user {settings.user}: "
                "correct CARTCAST_CLICKHOUSE__USER and CARTCAST_CLICKHOUSE__PASSWORD"
            ) from None
        if code == _DENIED:
            raise SinkError(
                f"{where} does not let user {settings.user} do this: {_what_to_grant(failure, settings)}"
            ) from None
        if code in _SCHEMA_CODES:
            raise SinkError(
                f"{where} lacks the table or a column of it in database {settings.database}: run `cartcast migrate`"
            ) from None
        if code in _ROW_CODES:
            raise RowsRefusedError(_what_is_wrong(failure, column_types or {})) from None
        if code is None and (words := _what_tls_says(failure, settings)) is not None:
            raise SinkError(f"{where} {words}") from None
        if code is None and _FOREIGN_SERVER.search(str(failure)):
            raise SinkError(f"{settings.url} is answered by no ClickHouse: correct CARTCAST_CLICKHOUSE__URL") from None
        raise UnavailableError(f"{where} {_why_not_now(failure)}") from None


def _what_tls_says(failure: ClickHouseError, settings: ClickHouseSettings) -> str | None:
    """Return what is wrong with TLS; a client that was only cut off does not know, so the server is asked again."""
    url = urlsplit(settings.url)
    if url.scheme != "https" or not url.hostname:
        return None
    if (words := tls_failure(failure, VARIABLES)) is not None:
        return words
    return why_tls_fails(url.hostname, url.port or TLS_PORT, client_context(**settings.pool_options()), VARIABLES)


def _what_to_grant(failure: ClickHouseError, settings: ClickHouseSettings) -> str:
    missing = _MISSING_GRANT.search(str(failure))
    if missing is None:
        return "grant it what it lacks"
    return f"run `GRANT {missing.group(1)} TO {settings.user}` as an administrator"


def _what_is_wrong(failure: ClickHouseError, column_types: Mapping[str, str]) -> str:
    """Name column, type and kind of failure; the engine's own text quotes the row, which is a shopper's data."""
    text, kind = str(failure), getattr(failure, "name", None) or f"code {getattr(failure, 'code', None)}"
    if rule := _BROKEN_RULE.search(text):
        return f"column {rule.group(1)}: missing or out of range ({kind})"
    if column := _READING_COLUMN.search(text):
        name = column.group(1)
        return f"column {name}: not a value of type {column_types.get(name, 'unknown')} ({kind})"
    return f"not a row of this table ({kind})"


def _why_not_now(failure: ClickHouseError) -> str:
    code, name = getattr(failure, "code", None), getattr(failure, "name", None)
    if code is not None:
        return f"cannot do it now: {name or 'error'} (code {code})"
    cause = getattr(failure.__cause__, "reason", None) or failure.__cause__ or failure
    system = _SYSTEM_ERROR.search(str(cause))
    return f"does not answer ({system.group(1) if system else type(cause).__name__})"
