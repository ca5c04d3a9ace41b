"""The file that offline scoring writes, by its suffix Parquet, CSV or JSON lines; it appears only when complete."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, cast

import msgspec

from model.events import propensity_field
from service.errors import OutputError, UsageError

if TYPE_CHECKING:
    from model.offline import ScoredEvents

_PARQUET_GROUP_ROWS: Final = 100_000
_GZIP_LEVEL: Final = 1  # a third of the time of the default, for files a tenth larger


Fields = Sequence[tuple[str, Any]]
"""Names and types of what is written beside the propensities: str, float or list[str]."""


class ScoreWriter(Protocol):
    """Takes scores in order."""

    def write(self, scored: "ScoredEvents") -> None:
        """Add some scores."""

    def close(self) -> None:
        """Write what is left; the file below stays open."""

    def abandon(self) -> None:
        """Give up: what has been written is of no use."""


class JsonLines:
    """One JSON object an event, one a line."""

    def __init__(self, file: BinaryIO, horizons: Sequence[str], extra: Fields = ()) -> None:
        self._file = file
        fields: list[tuple[str, Any]] = [("row", int), ("user_id", str), ("event_id", str), ("event_time", int)]
        fields += [*((propensity_field(horizon), float) for horizon in horizons), *extra]
        self._line: type[msgspec.Struct] = msgspec.defstruct("Line", fields, gc=False)
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, scored: "ScoredEvents") -> None:
        self._file.write(self._encode([self._line(*values) for values in _rows(scored)]))

    def close(self) -> None:
        """Return: nothing waits."""

    def abandon(self) -> None:
        """Return: nothing waits."""


class Csv:
    """A row an event below a header; a list is a JSON array."""

    def __init__(self, file: BinaryIO, horizons: Sequence[str], extra: Fields = ()) -> None:
        self._file = file
        propensities = (propensity_field(horizon) for horizon in horizons)
        names = ("row", "user_id", "event_id", "event_time", *propensities, *(name for name, _ in extra))
        self._write([names])

    def write(self, scored: "ScoredEvents") -> None:
        self._write(
            [json.dumps(one, ensure_ascii=False) if isinstance(one, list) else one for one in row]
            for row in _rows(scored)
        )

    def close(self) -> None:
        """Return: nothing waits."""

    def abandon(self) -> None:
        """Return: nothing waits."""

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())


class Gzipped:
    """What another writer writes, packed."""

    def __init__(self, file: BinaryIO, make: Callable[[BinaryIO], ScoreWriter]) -> None:
        self._packed = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0)
        self._writer = make(cast("BinaryIO", self._packed))

    def write(self, scored: "ScoredEvents") -> None:
        self._writer.write(scored)

    def close(self) -> None:
        self._packed.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._packed.close()


class Parquet:
    """Row groups of a hundred thousand events."""

    def __init__(self, file: BinaryIO, horizons: Sequence[str], extra: Fields = ()) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        self._schema = score_schema(horizons, extra)
        self._joined: Any = pa.concat_tables
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting: list[Any] = []

    def write(self, scored: "ScoredEvents") -> None:
        self._waiting.append(score_table(self._schema, scored))
        if sum(len(table) for table in self._waiting) >= _PARQUET_GROUP_ROWS:
            self._write_group()

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        self._writer.is_open = False  # else its finalizer writes the file's end, to a file that is closed by then

    def _write_group(self) -> None:
        self._writer.write_table(self._joined(self._waiting))
        self._waiting.clear()


_WRITERS: Final[dict[str, type[JsonLines] | type[Csv] | type[Parquet]]] = {
    ".parquet": Parquet,
    ".csv": Csv,
    ".jsonl": JsonLines,
}
_SUFFIXES: Final = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")


def score_schema(horizons: Sequence[str], extra: Fields = ()) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the Arrow schema of scores."""
    import pyarrow as pa

    texts = [("user_id", pa.string()), ("event_id", pa.string())]
    propensities = [(propensity_field(horizon), pa.float64()) for horizon in horizons]
    kinds = {str: pa.string(), float: pa.float64(), list[str]: pa.list_(pa.string())}
    answers = [(name, kinds[kind]) for name, kind in extra]
    return pa.schema([("row", pa.int64()), *texts, ("event_time", pa.int64()), *propensities, *answers])


def score_table(schema: Any, scored: "ScoredEvents") -> Any:  # noqa: ANN401
    """Return scores as an Arrow table of such a schema."""
    import pyarrow as pa

    ids = (scored.user_ids, scored.event_ids)
    numbers = (scored.event_time_ms, *scored.propensities.T)
    return pa.table([scored.rows, *ids, *numbers, *scored.extra], schema=schema)


def check_score_file(out: Path) -> None:
    """Raise UsageError if scores cannot be written to `out`: better before the work than after it."""
    _check_suffix(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(f"--out {out} cannot be written: {_reason(failure)}") from None
    if out.is_dir():
        raise UsageError(f"--out {out} is a directory: name a file in it")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{out} cannot be written: its directory takes no files from you")


@contextmanager
def score_file(out: Path, horizons: Sequence[str], extra: Fields = ()) -> Iterator[ScoreWriter]:
    """Open the writer that the suffix of `out` asks for; without a failure inside, the file is there afterwards.

    Raises UsageError for another suffix, OutputError if the file cannot be written.
    """
    _check_suffix(out)
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield from _written(_writer(out, file, horizons, extra))
        unfinished.replace(out)
    except OSError as failure:
        raise OutputError(f"{out} cannot be written: {_reason(failure)}; make room or name another --out") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _written(writer: ScoreWriter) -> Iterator[ScoreWriter]:
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.abandon()
        raise


def _writer(out: Path, file: BinaryIO, horizons: Sequence[str], extra: Fields) -> ScoreWriter:
    make = _WRITERS[Path(out.name.removesuffix(".gz")).suffix]
    if out.suffix == ".gz" and not issubclass(make, Parquet):
        return Gzipped(file, lambda packed: make(packed, horizons, extra))
    return make(file, horizons, extra)


def _check_suffix(out: Path) -> None:
    if not out.name.endswith(_SUFFIXES):
        raise UsageError(f"--out {out}: the name must end with one of {', '.join(_SUFFIXES)}")


def _rows(scored: "ScoredEvents") -> Iterator[tuple[Any, ...]]:
    """Yield what is written of each event."""
    return zip(
        scored.rows.tolist(),
        scored.user_ids,
        scored.event_ids,
        scored.event_time_ms.tolist(),
        *scored.propensities.T.tolist(),
        *scored.extra,
        strict=True,
    )


def _reason(failure: OSError) -> str:
    return (failure.strerror or str(failure)).lower()
