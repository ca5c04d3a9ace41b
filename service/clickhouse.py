"""ClickHouse over HTTP: connect, and say of every failure whether waiting helps, rows are bad, or a user must act."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager

from service.clickhouse_settings import ClickHouseSettings
from service.errors import (
    CartcastError,
    NotMigratedError,
    RefusedError,
    RowsRefusedError,
    TooLargeError,
    TooSlowError,
    UnavailableError,
)
from service.tls import client_context, tls_failure, why_tls_fails

logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
"""What the driver logs as an error, it raises as well: who called reports it, in one line."""

VARIABLES: Final = "CARTCAST_CLICKHOUSE__"
HTTP_PORT: Final = 8123
TLS_PORT: Final = 8443
_ACCESS_CODES: Final = frozenset({192, 193, 194, 516})
"""UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED."""
_DENIED: Final = 497
"""ACCESS_DENIED: the user is known, but lacks a grant."""
_SCHEMA_CODES: Final = frozenset({16, 47, 60, 81})
"""NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE, UNKNOWN_DATABASE."""
_TOO_SLOW_CODES: Final = frozenset({159, 160})
"""TIMEOUT_EXCEEDED, TOO_SLOW."""
_ROW_CODES: Final = frozenset(
    {6, 25, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 321, 349, 376, 467, 469, 632, 691}
)
"""The format or the table cannot take a row: CANNOT_PARSE_*, TYPE_MISMATCH, INCORRECT_DATA, VIOLATED_CONSTRAINT ..."""

_READING_COLUMN: Final = re.compile(r"while reading the value of key (\w+)")
_BROKEN_RULE: Final = re.compile(r"Constraint `(\w+)`")
_SYSTEM_ERROR: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)")
_MISSING_GRANT: Final = re.compile(r"necessary to have the grant ([^.]+(?:\.[^\s.]+)?)")
_HTTP_STATUS: Final = re.compile(r"HTTP status (\d{3})")
_TOO_LARGE: Final = 413
_PASSING: Final = frozenset({403, 408, 425, 429})
"""What a proxy or balancer before ClickHouse says for a while: forbidden, too slow, too early, too many."""
_FAILING_VIEW: Final = re.compile(r"while pushing to view ([^\s.]+\.(?:`[^`]+`|[\w$-]+))")
_LOST_TARGET: Final = re.compile(r"Target table '([^']+)' of view")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a connection, and for an answer."""

    connect_seconds: int = 5
    answer_seconds: int = 60


PATIENT: Final = Timeouts()
"""For inserts and migrations."""
INTERACTIVE: Final = Timeouts(connect_seconds=3, answer_seconds=15)
"""For a reader who waits."""


def connect(
    settings: ClickHouseSettings, *, database: str | None = None, timeouts: Timeouts = PATIENT, name: str = "cartcast"
) -> Client:
    """Return a client; raises UnavailableError, RefusedError or CertificateError.

    Every request stands alone (no session), so that one that timed out does not block the next, and threads that only
    read may share a client. Connections are direct: a proxy that the machine's environment names for the web is not
    for the database. `name` is how the server's logs call this client.
    """
    url = urlsplit(settings.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise RefusedError(f"{settings.url} is no ClickHouse address: set {VARIABLES}URL to http://HOST:PORT")
    with failures(settings):
        return clickhouse_connect.get_client(
            interface=url.scheme,
            host=url.hostname,
            port=url.port or (TLS_PORT if url.scheme == "https" else HTTP_PORT),
            proxy_path=url.path,
            username=settings.user,
            password=settings.password.get_secret_value(),
            database=database,
            connect_timeout=timeouts.connect_seconds,
            send_receive_timeout=timeouts.answer_seconds,
            autogenerate_session_id=False,
            client_name=name,
            client_cert=settings.authenticating_certificate,
            pool_mgr=get_pool_manager(**settings.pool_options()),
        )


@contextmanager
def connected(settings: ClickHouseSettings, *, database: str | None = None) -> Iterator[Client]:
    """Connect for the length of the block, in which failures are those of `failures`."""
    client = connect(settings, database=database)
    try:
        with failures(settings):
            yield client
    finally:
        client.close_connections()


def insert(  # noqa: PLR0913
    client: Client,
    settings: ClickHouseSettings,
    table: str,
    rows: Sequence[bytes],
    *,
    query_settings: Mapping[str, Any],
    column_types: Mapping[str, str] | None = None,
) -> None:
    """Insert one JSON object a row; done once ClickHouse itself says so. Raises what `failures` raises."""
    with failures(settings, column_types):
        answer = client.raw_insert(
            table, insert_block=b"\n".join(rows), fmt="JSONEachRow", settings=dict(query_settings)
        )
    if not (answer.query_id() or answer.summary.get("written_rows")):
        raise UnavailableError(
            f"an insert into ClickHouse at {settings.url} was answered by something before it: the answer names no "
            "query; look at the proxy"
        )


@contextmanager
def failures(settings: ClickHouseSettings, column_types: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn the client's exceptions into UnavailableError or RefusedError, or one of their kinds; no text has values."""
    try:
        yield
    except ClickHouseError as failure:
        raise _meaning(failure, settings, column_types or {}) from None


def _meaning(failure: ClickHouseError, settings: ClickHouseSettings, column_types: Mapping[str, str]) -> CartcastError:
    code, name = getattr(failure, "code", None), getattr(failure, "name", None) or "error"
    if code is None:
        return _meaning_without_a_code(failure, settings)
    if (view := _failing_view(failure)) is not None:
        return UnavailableError(
            f"ClickHouse at {settings.url} takes no rows into the table because {view} ({name}): mend it or drop it"
        )
    if code in _ROW_CODES:
        return RowsRefusedError(_what_is_wrong(failure, column_types))
    kind: type[CartcastError] = UnavailableError
    words = f"cannot do it now: {name} (code {code})"
    if code in _ACCESS_CODES:
        kind, words = RefusedError, f"refuses user {settings.user}: correct {VARIABLES}USER and {VARIABLES}PASSWORD"
    elif code == _DENIED:
        kind, words = RefusedError, f"does not let user {settings.user} do this: {_what_to_grant(failure, settings)}"
    elif code in _SCHEMA_CODES:
        lacking = f"lacks a table, a view or a column in database {settings.database}"
        kind, words = NotMigratedError, f"{lacking}: run `cartcast migrate`"
    elif code in _TOO_SLOW_CODES:
        kind, words = TooSlowError, f"gave up on a query that took too long: {name} (code {code})"
    return kind(f"ClickHouse at {settings.url} {words}")


def _meaning_without_a_code(failure: ClickHouseError, settings: ClickHouseSettings) -> CartcastError:
    """Return the meaning of a failure that is no answer of ClickHouse."""
    where = f"ClickHouse at {settings.url}"
    if (words := _what_tls_says(failure, settings)) is not None:
        return RefusedError(f"{where} {words}")
    if status := _HTTP_STATUS.search(str(failure)):
        return _meaning_of_a_status(int(status.group(1)), settings)
    cause = getattr(failure.__cause__, "reason", None) or failure.__cause__ or failure
    system = _SYSTEM_ERROR.search(str(cause))
    return UnavailableError(
        f"{where} does not answer ({system.group(1) if system else type(cause).__name__}): "
        f"start it (`cartcast up`), or correct {VARIABLES}URL"
    )


def _meaning_of_a_status(status: int, settings: ClickHouseSettings) -> CartcastError:
    """Return what an answer means that ClickHouse would have given a code: a proxy gave it, or another server."""
    if status == _TOO_LARGE:
        return TooLargeError(
            f"a proxy before ClickHouse at {settings.url} takes no request of this size (HTTP 413): lower "
            "sink.block_rows, or raise the proxy's limit (nginx: client_max_body_size)"
        )
    if status in _PASSING or status >= 500:
        return UnavailableError(
            f"ClickHouse at {settings.url} does not answer, but a proxy before it: HTTP {status}; look at its log"
        )
    return RefusedError(f"{settings.url} is answered by no ClickHouse (HTTP {status}): correct {VARIABLES}URL")


def _failing_view(failure: ClickHouseError) -> str | None:
    """Return which materialized view, made by somebody else, keeps an insert into its table from ending."""
    if view := _FAILING_VIEW.search(str(failure)):
        return f"materialized view {view.group(1)} fails"
    if target := _LOST_TARGET.search(str(failure)):
        return f"a materialized view writes to {target.group(1)}, which does not exist"
    return None


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
