"""What ClickHouse's HTTP interface says, in both directions; knows nothing of the engine or of the web server.

Source of the rules: https://clickhouse.com/docs/interfaces/http and `HTTPHandler.cpp` of the server.
"""

import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import lz4.frame  # type: ignore[import-untyped]
import zstandard

NOT_SETTINGS: Final = frozenset(
    {"query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"}
    | {"session_id", "session_timeout", "session_check"}
    | {"compress", "decompress", "buffer_size", "wait_end_of_query", "client_protocol_version"}
)
"""Parameters of the interface itself; every other one is a setting of the engine or `param_*`."""

CONCATENABLE_FORMATS: Final = frozenset(
    {"Native", "RowBinary", "CSV", "JSONEachRow", "JSONCompactEachRow"}
    | {"TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw"}
)
"""Formats without header or footer, so that a stream of blocks is one valid document."""

ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516
_STATUS_BY_CODE: Final = {
    **dict.fromkeys((192, 193, ACCESS_DENIED, AUTHENTICATION_FAILED), 403),
    **dict.fromkeys((16, 46, 47, 50, 60, 81, 115, 73), 404),
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 53, 62, 69, 70, 72, 117, 130, 131, 376, 467, 469, 691), 400),
    48: 501,
}
_TRAILING_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)(?:\s+SETTINGS\b[^;]*)?\s*;?\s*$", re.IGNORECASE)
_LEADING_COMMENTS: Final = re.compile(rb"(?:\s+|--[^\n]*(?:\n|$)|#[! ][^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_READS: Final = re.compile(rb"\(*\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_INSERT: Final = re.compile(
    rb"INSERT\s+INTO\b(.*?)\b(?:FORMAT\s+(\w+)[ \t\f]*\n?|(VALUES)(?=[\s(]))", re.IGNORECASE | re.DOTALL
)
_SETTINGS: Final = re.compile(rb"\bSETTINGS\s+(?=\w+\s*=)", re.IGNORECASE)
_SELECTS: Final = re.compile(rb"\b(?:SELECT|WITH|WATCH|FROM\s+INFILE)\b", re.IGNORECASE)
_ERROR_CODE: Final = re.compile(r"Code: (\d+)")
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`", re.DOTALL)
_OUTSIDE: Final = re.compile(
    r"\b(?:INTO OUTFILE|FROM INFILE|file|python)\b|\b(?:disk|executable|EmbeddedRocksDB)(?= ?\()", re.IGNORECASE
)
"""What grants cannot refuse. `file` may stand without parentheses, as an argument of `arrayMap` or after APPLY."""
_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BadRequestError(Exception):
    """A request that the real server would refuse before any query runs; carries ClickHouse's error code."""

    def __init__(self, code: int, reason: str) -> None:
        """Take the code that the real server gives; the text gets its usual prefix."""
        super().__init__(f"Code: {code}. DB::Exception: {reason}")


@dataclass(frozen=True)
class Statement:
    """One statement with everything the client said about it."""

    sql: bytes
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    format: str
    query_id: str
    read_only: bool
    protocol_version: int = 0
    """What the client says of the format Native that it reads; 0: nothing."""

    @property
    def reads(self) -> bool:
        """Whether this is a query, which has an answer even when it finds no row."""
        return _READS.match(self.sql, _start(self.sql)) is not None

    @property
    def streams(self) -> bool:
        """Whether the answer may be sent block by block while the engine still works on it."""
        return self.reads and self.format in CONCATENABLE_FORMATS

    @property
    def without_data(self) -> bytes:
        """The statement; of an insert that brings its data along, what stands before the data."""
        insert = self.insert_from()
        return self.sql if insert is None else insert.head

    def insert_from(self) -> "InsertFrom | None":
        """Return an insert that brings its data along, taken apart; None for every other statement."""
        found = _INSERT.match(self.sql, _start(self.sql))
        if found is None or self.parameters or _SELECTS.search(found.group(1)):
            return None
        table, *settings = _SETTINGS.split(found.group(1), maxsplit=1)
        return InsertFrom(
            table=table.strip(),
            settings=b"".join(settings).strip(),
            format="Values" if found.group(3) else found.group(2).decode(),
            data=self.sql[found.end() :],
        )


@dataclass(frozen=True)
class InsertFrom:
    """An insert and its data: `INSERT INTO table SETTINGS settings FORMAT format` followed by `data`."""

    table: bytes
    settings: bytes
    format: str
    data: bytes

    @property
    def head(self) -> bytes:
        """The statement without its data."""
        return self._statement(b"")

    def sql(self, path: str) -> bytes:
        """Return the statement that reads the same data from a file."""
        return self._statement(b" FROM INFILE " + quoted(path).encode())

    def _statement(self, source: bytes) -> bytes:
        settings = b" SETTINGS " + self.settings if self.settings else b""
        return b"INSERT INTO %b%b%b FORMAT %b" % (self.table, source, settings, self.format.encode())


def parse_statement(
    parameters: Mapping[str, str], headers: Mapping[str, str], body: bytes, *, query_id: str, read_only: bool
) -> Statement:
    """Join the `query` parameter and the (decompressed) body as the server does, and sort the other parameters."""
    query = parameters.get("query", "").encode()
    sql = query + b"\n" + body if query and body else query or body
    tail = _TRAILING_FORMAT.search(query if body and query else sql[-1024:])
    default_format = headers.get("X-ClickHouse-Format") or parameters.get("default_format") or "TabSeparated"
    return Statement(
        sql=sql,
        database=parameters.get("database") or headers.get("X-ClickHouse-Database") or "",
        settings={name: parameters[name] for name in parameters if _is_setting(name)},
        parameters={name[6:]: parameters[name] for name in parameters if name.startswith("param_")},
        format=tail.group(1).decode() if tail else default_format,
        query_id=parameters.get("query_id") or query_id,
        read_only=read_only,
        protocol_version=_protocol_version(parameters.get("client_protocol_version", "0")),
    )


def _protocol_version(text: str) -> int:
    if not text.isdecimal():
        raise BadRequestError(72, f"Cannot parse client_protocol_version '{text}'. (CANNOT_PARSE_NUMBER)")
    return int(text)


def _start(sql: bytes) -> int:
    comments = _LEADING_COMMENTS.match(sql)
    return comments.end() if comments else 0


def _is_setting(name: str) -> bool:
    if name in NOT_SETTINGS or name.startswith("param_"):
        return False
    if _SETTING_NAME.fullmatch(name) is None:
        raise BadRequestError(115, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
    return True


def quoted(text: str) -> str:
    """Return `text` as a string literal of ClickHouse SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """Return `name` as a quoted identifier of ClickHouse SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def refuse_outside(formatted: str, parameters: Mapping[str, str]) -> None:
    """Raise BadRequestError if a statement reads or writes outside the engine: a file, a script, this process.

    `formatted` is the statement as the engine's own `formatQuery` writes it: without comments, names without escapes.
    """
    found = _OUTSIDE.search(_QUOTED.sub("''", formatted))
    named = found[0] if found else None
    if ":Identifier}" in formatted:
        named = named or next((value for value in parameters.values() if _OUTSIDE.fullmatch(value)), None)
    if named is not None:
        raise BadRequestError(
            ACCESS_DENIED, f"{named}: the local engine reads and writes nothing outside its directory. (ACCESS_DENIED)"
        )


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo a request's Content-Encoding; clients send one frame a block, one after another."""
    if encoding in ("", "identity"):
        return body
    if encoding not in _DECOMPRESSORS:
        raise BadRequestError(48, f"Content-Encoding {encoding} is not supported. (NOT_IMPLEMENTED)")
    try:
        return _join_frames(body, _DECOMPRESSORS[encoding])
    except (RuntimeError, EOFError, zlib.error, zstandard.ZstdError) as failure:
        raise BadRequestError(354, f"Cannot decompress the request body: {failure}. (ZLIB_INFLATE_FAILED)") from None


class _Decompressor(Protocol):
    """One frame; the three libraries agree on this."""

    def decompress(self, data: bytes, /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...


def _zlib() -> _Decompressor:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its header


def _zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


_DECOMPRESSORS: Final[Mapping[str, Callable[[], _Decompressor]]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": _zstd,
    "gzip": _zlib,
    "deflate": _zlib,
}


def _join_frames(body: bytes, new_decompressor: Callable[[], _Decompressor]) -> bytes:
    parts, rest = [], body
    while rest:
        frame = new_decompressor()
        parts.append(frame.decompress(rest))
        if not frame.eof:
            raise EOFError("it is cut off")
        rest = frame.unused_data or b""
    return b"".join(parts)


def error_code(message: str) -> int:
    """Find the engine's error code in its message; 1002 (UNKNOWN_EXCEPTION) if it names none."""
    found = _ERROR_CODE.search(message)
    return int(found.group(1)) if found else 1002


def http_status(code: int) -> int:
    """Return the HTTP status that the real server gives an error code."""
    return _STATUS_BY_CODE.get(code, 500)


@dataclass(frozen=True)
class Summary:
    """What a statement read and wrote, as `X-ClickHouse-Summary` tells it."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_seconds: float = 0.0

    def header(self) -> str:
        """Return the header's JSON: every number is a string."""
        figures = {
            "read_rows": self.read_rows,
            "read_bytes": self.read_bytes,
            "written_rows": self.written_rows,
            "written_bytes": self.written_bytes,
            "total_rows_to_read": 0,
            "result_rows": self.written_rows,
            "result_bytes": self.written_bytes,
            "elapsed_ns": int(self.elapsed_seconds * 1e9),
        }
        return json.dumps({name: str(value) for name, value in figures.items()}, separators=(",", ":"))
