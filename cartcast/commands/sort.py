"""`cartcast sort`."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from cartcast.commands.shared.history_source import HistorySource, history_source
from cartcast.commands.shared.options import EXIT_INTERRUPTED, Files, OptionalFormat, ShopFile, Strict, WorkDir
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.shop_file import read_shop
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import OutputError, UsageError

if TYPE_CHECKING:
    from model.events import Event

_SUFFIXES = (".jsonl", ".jsonl.gz")


def sort(
    files: Files,
    out: Annotated[Path, typer.Option(help="File to write: .jsonl or .jsonl.gz.")],
    format_name: OptionalFormat = None,
    shop: ShopFile = None,
    memory_limit_mb: Annotated[
        int, typer.Option(min=1, help="Memory for events; the others wait in temporary files.", metavar="MB")
    ] = 512,
    work_dir: WorkDir = None,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """Write the events of files in the order of their times, as canonical JSON lines, in bounded memory.

    Events of one time stay in the order in which they came. Bad rows are left out and counted. The file appears whole
    or not at all.

    Example: cartcast sort 2026-01.csv.gz 2026-02.csv.gz --format rees46 --out history.jsonl.gz
    """
    if not out.name.endswith(_SUFFIXES):
        raise UsageError(f"--out {out}: the name must end with one of {', '.join(_SUFFIXES)}")
    if out.exists() and any(file.exists() and file.samefile(out) for file in files):
        raise UsageError(f"--out {out} is one of the files to read: name another")
    source = history_source(
        None,
        events=files,
        format_name=format_name,
        from_clickhouse=False,
        since_ms=None,
        until_ms=None,
        strict=strict,
    )
    source.shop = read_shop(shop)
    try:
        with stop_signals_raise():
            count = _sort(source, out, memory_limit_mb << 20, work_dir)
    except StopRequested:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for line in source.said_of_bad_rows():
        print(line, file=sys.stderr)
    if as_json:
        print(json.dumps({"events": count, "bad_rows": source.bad_rows, "out": str(out)}))
        return
    print(f"{out}: {count:,} events by time; left out {source.bad_rows:,} bad rows")


def _sort(source: HistorySource, out: Path, memory_bytes: int, work_dir: Path | None) -> int:
    from model.formats.sorting import sorted_lines

    count = 0
    with _output(out) as file, progress_bar("sort", source.total) as advance:
        events = _events(source, lambda done: advance(done, "read"))
        for line in sorted_lines(events, memory_bytes, work_dir, lambda: advance(source.total, "merge")):
            file.write(line)
            count += 1
    return count


def _events(source: HistorySource, on_progress: Callable[[float], None]) -> "Iterator[Event]":
    from model.events import Event

    return (row for row in source.rows(on_progress) if isinstance(row, Event))


@contextmanager
def _output(out: Path) -> Iterator[BinaryIO]:
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            if out.suffix == ".gz":
                with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield file
        unfinished.replace(out)
    except OSError as failure:
        why = (failure.strerror or str(failure)).lower()
        raise OutputError(f"{out} cannot be written: {why}; make room or name another --out or --work-dir") from None
    finally:
        unfinished.unlink(missing_ok=True)
