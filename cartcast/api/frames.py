"""Tables in and out: pandas, polars and Arrow, through Arrow's interface that all of them have."""

import datetime
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pyarrow as pa  # type: ignore[import-untyped]

from model.formats.rows import Line
from service.errors import FormatError

_REQUIRED: Final = ("user_id", "type", "ts")
_ROWS_AT_ONCE: Final = 10_000


def is_frame(given: object) -> bool:
    """Whether this is a table of pandas, polars, Arrow or anything else with Arrow's stream interface."""
    return hasattr(given, "__arrow_c_stream__")


def lines_of(frame: Any) -> Iterator[Line]:  # noqa: ANN401 - of any library
    """Yield a frame's rows as lines of canonical events, numbered from 1; without event ids, the numbers are those.

    Raises FormatError if a column that every event needs is missing.
    """
    table = pa.table(frame)
    if missing := [name for name in _REQUIRED if name not in table.column_names]:
        raise FormatError(f"the frame has no column {missing[0]}; it has {', '.join(table.column_names)}")
    number = 0
    for batch in table.to_batches(_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            number += 1
            given = {name: value for name, value in map(_plain, row.items()) if value is not None}
            yield number, orjson.dumps({"event_id": str(number)} | given, default=str)


def as_given(table: Any, given: object) -> Any:  # noqa: ANN401
    """Return an Arrow table as a frame of the same library as `given`; an Arrow table if that is no frame."""
    library = type(given).__module__.partition(".")[0]
    if library == "pandas":
        return table.to_pandas()
    if library == "polars":
        import polars  # noqa: PLC0415 - whoever gives a frame of polars has it

        return polars.from_arrow(table)
    return table


def _plain(field: tuple[str, Any]) -> tuple[str, Any]:
    """Return a column's value as JSON has it: a time without a zone is UTC, NaN is none."""
    name, value = field
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return name, int(moment.timestamp() * 1000) if name == "ts" else moment.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return name, None
    if isinstance(value, Mapping):  # what Arrow makes of dicts has every key of every row
        return name, {key: each for key, each in value.items() if each is not None}
    return name, value
