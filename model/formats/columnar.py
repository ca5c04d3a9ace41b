"""Rows of files of columns as JSON objects, a batch at a time."""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from model.formats.rows import Line
from service.errors import FormatError

_FORMATS: Final = {rb"PAR1": "parquet", rb"ARROW1": "feather", rb"ORC[^\w ,;|\t\"-]": "orc"}
"""By the first bytes of a file: its name for pyarrow. A text may begin with ORCID."""
_ROWS_AT_ONCE: Final = 4096


def columnar_format(head: bytes) -> str | None:
    """Return the name of a format of columns for pyarrow, None if a file that begins so is of none."""
    return next((name for magic, name in _FORMATS.items() if re.match(magic, head)), None)


def read_columns(path: Path, format_name: str, on_rows: Callable[[float], None]) -> Iterator[Line]:
    """Yield a row a line, numbered from 1, as a JSON object; `on_rows` is told the share of them read so far.

    Times are RFC 3339, one without a zone UTC; whole numbers keep every digit, NaN is null. Raises FormatError.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional dependency
        from pyarrow import dataset  # noqa: PLC0415
    except ModuleNotFoundError:
        raise FormatError(
            f"is {format_name}, for which the package pyarrow is needed: install Cartcast with the extra `train`"
        ) from None

    number = 0
    try:
        table = dataset.dataset(path, format=format_name)
        rows = max(table.count_rows(), 1)
        for batch in table.to_batches(batch_size=_ROWS_AT_ONCE, batch_readahead=1, fragment_readahead=1):
            for row in _plain(pa, batch).to_pylist():
                number += 1
                yield number, orjson.dumps(row, default=_plain_value, option=orjson.OPT_NAIVE_UTC)
            on_rows(number / rows)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as failure:  # also of texts and times
        text = " ".join(str(failure).split())[:200]
        if "duplicate field names" in text:
            raise FormatError("names a column twice: remove one") from None
        raise FormatError(f"is damaged after row {number}: {text}; fetch it again") from None
    if number == 0:
        raise FormatError("holds no rows: there is nothing to read")


def _plain(pa: Any, batch: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a batch whose times are no finer than microseconds, as Python's."""
    for position, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(position).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(position, field.name, column)
    return batch


def _plain_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, Decimal) else repr(value)
