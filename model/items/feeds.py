"""Files of items: JSON lines in canonical form, tables (CSV, TSV, Parquet), and Google's product feeds.

Each format has a function that yields an Item or a BadItem per row; `read_items` adds what all share. Memory does not
grow with a file.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

import orjson

from model.formats.containers import DamageError, unpacked
from model.formats.lines import Reading, read_lines
from model.formats.rows import InvalidRow, Line, row_text
from model.items.google import read_products
from model.items.item import InvalidItem, Item, decode_item
from model.items.rows import KNOWN, NAMES, BadItem, id_of, item_of
from service.errors import FormatError

OnBytes = Callable[[int], None] | None
Rows = Iterator[Item | BadItem]
NumberedRows = Iterator[tuple[int, Item | BadItem]]
"""With the line on which each begins."""

_ROWS_BEFORE_GIVING_UP: Final = 1000
_ROWS_AT_ONCE: Final = 200
_LINES_PER_ROW: Final = 100
_DELIMITERS: Final = "\t;,"
_BEGINNING_BYTES: Final = 512
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_items(
    path: Path, format_name: str | None = None, *, strict: bool = False, on_bytes: OnBytes = None
) -> Iterator[Item | BadItem]:
    """Yield the items of a file in file order, and a BadItem for each row that is none.

    Without a format's name it is found out. A vector must be as long as the first one. `on_bytes` is called now and
    then with the bytes of the (packed) file read so far. Raises FormatError for a file that is missing, empty, cut
    short or of another format, and with `strict` for the first bad row.
    """
    name = format_name or guess_format(path)
    if name not in FORMATS:
        raise FormatError(f"unknown format {name!r}: choose one of {', '.join(FORMATS)}")
    rows = _until_it_cannot_be(path, name, _of_one_dimension(FORMATS[name](path, on_bytes)))
    return _strictly(path, rows) if strict else rows


def guess_format(path: Path) -> str:
    """Return the format that a file's beginning shows; raises FormatError if it cannot be read."""
    try:
        with path.open("rb") as file:
            beginning = unpacked(file).read(_BEGINNING_BYTES)
    except (OSError, DamageError) as failure:
        raise FormatError(f"{path} cannot be read: {failure}") from None
    if beginning.startswith(b"PAR1"):
        return "parquet"
    text = beginning.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"<") or beginning.startswith(_UTF_16):
        return "google"
    return "cartcast" if text.startswith(b"{") else "csv"


def _json_lines(path: Path, on_bytes: OnBytes) -> NumberedRows:
    for number, raw in read_lines(path, Reading(on_bytes)):
        try:
            row_text(raw)
            yield number, decode_item(raw)
        except (InvalidItem, InvalidRow) as invalid:
            yield number, BadItem(number, invalid.reason, invalid.error, _id_in(raw))


def _id_in(raw: bytes) -> str | None:
    try:
        return id_of(orjson.loads(raw))
    except (ValueError, AttributeError):
        return None


def _table(path: Path, on_bytes: OnBytes) -> NumberedRows:
    """Yield the items of a table with a header; its columns are separated by tabs, semicolons or commas."""
    lines = read_lines(path, Reading(on_bytes))
    header = next(lines, (0, b""))[1].decode(errors="replace")
    delimiter = max(_DELIMITERS, key=header.count)
    columns = _columns(path, next(csv.reader([header], delimiter=delimiter), []))
    text = _TableText(lines)
    reader = csv.reader(text, delimiter=delimiter)
    while True:
        text.begin_row()
        try:
            fields = next(reader, None)
            if fields is None:
                return
            text.raise_damage()
            if len(fields) != len(columns):
                raise InvalidRow("columns", f"the row has {len(fields)} columns, not {len(columns)}")
        except csv.Error as failure:
            yield text.line, text.bad("columns", f"the row cannot be split into columns: {failure}")
        except InvalidRow as invalid:
            yield text.line, text.bad(invalid.reason, invalid.error)
        else:
            yield text.line, _item(text.line, dict(zip(columns, fields, strict=True)))


class _TableText:
    """The lines that a csv reader takes; a row that a quote joined of several may be given back but for its first."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._taken: list[Line] = []
        self._given_back: deque[Line] = deque()
        self._damage: InvalidRow | None = None

    @property
    def line(self) -> int:
        """Where the row begins."""
        return self._taken[0][0]

    def begin_row(self) -> None:
        self._taken, self._damage = [], None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if len(self._taken) == _LINES_PER_ROW:
            raise InvalidRow("columns", f"a quote in the row does not end within {_LINES_PER_ROW} lines")
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self._taken.append(line)
        try:
            text = row_text(line[1])
        except InvalidRow as invalid:
            self._damage, text = invalid, line[1].replace(b"\0", b"").decode(errors="replace")
        return text + "\n"

    def raise_damage(self) -> None:
        """Raise InvalidRow if a line of the row is no text."""
        if self._damage is not None:
            raise self._damage

    def bad(self, reason: str, error: str) -> BadItem:
        """Return the bad row that the first line is; what a quote joined to it may be rows of their own."""
        self._given_back.extendleft(reversed(self._taken[1:]))
        return BadItem(self.line, reason, error, None)


def _columns(path: Path, header: list[str]) -> list[str]:
    """Return the names of columns as they are known: of `g:Product Type`, `product_type`."""
    columns = [name.strip().casefold().removeprefix("g:").replace(" ", "_") for name in header]
    if not set(columns).intersection(NAMES["item_id"]):
        raise FormatError(
            f"{path} has no column {' or '.join(NAMES['item_id'])} in its first row, which names the columns"
        )
    return columns


def _item(line: int, row: dict[str, object] | dict[str, str]) -> Item | BadItem:
    try:
        return item_of(row)
    except InvalidItem as invalid:
        return BadItem(line, invalid.reason, invalid.error, id_of(row))


def _google(path: Path, on_bytes: OnBytes) -> NumberedRows:
    """Yield the products of a feed as XML, or as a table."""
    if guess_format(path) != "google":
        yield from _table(path, on_bytes)
        return
    try:
        with path.open("rb") as file:
            for line, row in read_products(unpacked(file), str(path)):
                if on_bytes is not None:
                    on_bytes(file.tell())
                yield line, _item(line, row)
    except (OSError, DamageError) as failure:
        raise FormatError(f"{path} cannot be read: {failure}") from None


def _parquet(path: Path, on_bytes: OnBytes) -> NumberedRows:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped] # noqa: PLC0415 - in the extra `train`

    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name in KNOWN]
            _columns(path, names)
            row_bytes, line = path.stat().st_size / max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
                for row in batch.to_pylist():
                    line += 1
                    yield line, _item(line, row)
                if on_bytes is not None:
                    on_bytes(int(line * row_bytes))
    except (OSError, ArrowException) as failure:
        raise FormatError(f"{path} cannot be read as Parquet: {str(failure).splitlines()[0]}") from None


FORMATS: Final[dict[str, Callable[[Path, OnBytes], NumberedRows]]] = {
    "cartcast": _json_lines,
    "csv": _table,
    "parquet": _parquet,
    "google": _google,
}


def _of_one_dimension(rows: NumberedRows) -> Rows:
    dimension: int | None = None
    for line, row in rows:
        if isinstance(row, Item) and row.vector is not None:
            dimension = dimension or len(row.vector)
            try:
                row.with_dimension(dimension)
            except InvalidItem as invalid:
                yield BadItem(line, invalid.reason, invalid.error, row.item_id)
                continue
        yield row


def _strictly(path: Path, rows: Rows) -> Rows:
    for row in rows:
        if isinstance(row, BadItem):
            raise FormatError(f"{path}, line {row.line}: {row.error}; correct the row or read without --strict")
        yield row


def _until_it_cannot_be(path: Path, format_name: str, rows: Rows) -> Rows:
    """Hold bad rows back until the first item shows that the file is of this format."""
    held: list[BadItem] = []
    for row in rows:
        if isinstance(row, Item):
            yield from held
            yield row
            yield from rows
            return
        held.append(row)
        if len(held) == _ROWS_BEFORE_GIVING_UP:
            break
    if not held:
        raise FormatError(f"{path} holds no items: there is nothing to read")
    raise FormatError(
        f"{path} does not look like items in format {format_name}: none of its first {len(held)} rows is one "
        f"(line {held[0].line}: {held[0].error}); formats are {', '.join(FORMATS)}"
    )
