"""Blocks in the format Native as a client reads them that names a protocol version, such as Grafana's (clickhouse-go).

The engine in this process writes them as for a client that names none. From a version on, the real server puts an info
before each block (`BlockInfo.cpp`), and behind each column's type whether its serialization is a special one
(`NativeWriter.cpp`); the columns' bytes are the same. Where a column ends follows from its type and the rows alone.
"""

import re
from collections.abc import Iterator
from typing import Final

from cartcast.local.clickhouse_protocol import BadRequestError

CUSTOM_SERIALIZATION_REVISION: Final = 54454
"""DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION; clients of older protocols find out that the engine speaks none."""

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Field 1: no overflows. Field 2: bucket -1. End."""
_ORDINARY: Final = b"\x00"
_NOT_IMPLEMENTED: Final = 48
_WIDTHS: Final = {
    **dict.fromkeys(("UInt8", "Int8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("UInt16", "Int16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("UInt32", "Int32", "Float32", "Date32", "DateTime", "Time", "IPv4", "Decimal32"), 4),
    **dict.fromkeys(("UInt64", "Int64", "Float64", "DateTime64", "Time64", "Decimal64"), 8),
    **dict.fromkeys(("UInt128", "Int128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("UInt256", "Int256", "Decimal256"), 32),
}
_TYPE: Final = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_NAMED: Final = re.compile(r"(?:`(?:[^`\\]|\\.)*`|\w+)\s+(.+)", re.DOTALL)
_PARTS: Final = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]|[^'`(),]+")


def for_protocol_version(blocks: bytes) -> bytes:
    """Return whole blocks, one after the other, as a client of the revision above reads them.

    Raises BadRequestError for a type whose bytes are not known here.
    """
    reader = _Reader(blocks)
    return b"".join(piece for _ in iter(lambda: reader.at_end, True) for piece in _block(reader))


def _block(reader: "_Reader") -> Iterator[bytes]:
    yield _BLOCK_INFO
    start = reader.position
    columns, rows = reader.number(), reader.number()
    yield reader.since(start)
    for _ in range(columns):
        start = reader.position
        reader.skip_text()
        column_type = reader.text()
        yield reader.since(start) + _ORDINARY
        start = reader.position
        if rows:
            _skip_prefix(reader, column_type)
            _skip_column(reader, column_type, rows)
        yield reader.since(start)


class _Reader:
    """A place in some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self._data)

    def since(self, start: int) -> bytes:
        return self._data[start : self.position]

    def skip(self, size: int) -> None:
        self.position += size

    def number(self) -> int:
        """Read an integer of seven bits a byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self._data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def uint64(self) -> int:
        self.position += 8
        return int.from_bytes(self._data[self.position - 8 : self.position], "little")

    def skip_text(self) -> None:
        self.skip(self.number())

    def text(self) -> str:
        size = self.number()
        self.skip(size)
        return self._data[self.position - size : self.position].decode()


def _skip_prefix(reader: _Reader, column_type: str) -> None:
    """Skip what comes once before a column's rows: the version of each dictionary."""
    name, arguments = _parsed(column_type)
    if name == "LowCardinality":
        reader.skip(8)
    elif name in ("Array", "Tuple", "Map"):
        for argument in arguments:
            _skip_prefix(reader, argument)
    elif name == "SimpleAggregateFunction":
        _skip_prefix(reader, arguments[-1])


def _skip_column(reader: _Reader, column_type: str, rows: int) -> None:  # noqa: C901 - one branch a kind of type
    name, arguments = _parsed(column_type)
    if rows == 0:
        return
    if name == "String":
        for _ in range(rows):
            reader.skip_text()
    elif name == "Nullable":
        reader.skip(rows)
        _skip_column(reader, arguments[0], rows)
    elif name in ("Array", "Map"):
        reader.skip(8 * (rows - 1))
        elements = reader.uint64()
        for argument in arguments:
            _skip_column(reader, argument, elements)
    elif name == "Tuple":
        for argument in arguments:
            _skip_column(reader, argument, rows)
    elif name == "LowCardinality":
        _skip_dictionary(reader, arguments[0])
    elif name == "SimpleAggregateFunction":
        _skip_column(reader, arguments[-1], rows)
    else:
        reader.skip(rows * _width(name, arguments, column_type))


def _skip_dictionary(reader: _Reader, key_type: str) -> None:
    """Skip a dictionary's keys (a NULL is the first, whatever its bytes say) and each row's index."""
    index_width = 1 << (reader.uint64() & 0xFF)
    name, arguments = _parsed(key_type)
    _skip_column(reader, arguments[0] if name == "Nullable" else key_type, reader.uint64())
    reader.skip(reader.uint64() * index_width)


def _width(name: str, arguments: list[str], column_type: str) -> int:
    if name == "FixedString":
        return int(arguments[0])
    if name == "Decimal":
        precision = int(arguments[0])
        return next(width for width, most in ((4, 9), (8, 18), (16, 38), (32, 76)) if precision <= most)
    if name.startswith("Interval"):
        return 8
    if name not in _WIDTHS:
        reason = f"the local engine cannot give type {column_type} to this client: convert it with toString()"
        raise BadRequestError(_NOT_IMPLEMENTED, f"{reason}. (NOT_IMPLEMENTED)")
    return _WIDTHS[name]


def _parsed(column_type: str) -> tuple[str, list[str]]:
    """Return a type's name and arguments; of a tuple's named elements the types."""
    found = _TYPE.fullmatch(column_type.strip())
    if found is None:
        return column_type, []
    arguments = [part.strip() for part in _split(found[2] or "")]
    if found[1] == "Tuple":
        arguments = [named[1] if (named := _NAMED.fullmatch(each)) else each for each in arguments]
    return found[1], arguments


def _split(arguments: str) -> list[str]:
    """Split at the commas that are outside of parentheses and quotes."""
    parts, depth = [""], 0
    for piece in _PARTS.findall(arguments):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return [part for part in parts if part]
