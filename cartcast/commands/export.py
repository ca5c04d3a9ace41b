"""`cartcast export`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.commands.shared.history_source import history_source, read_for_training
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    Events,
    FromClickHouse,
    MemoryLimit,
    OptionalFormat,
    ShopFile,
    Since,
    Strict,
    Until,
    WorkDir,
    horizon_names,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.score_file import check_score_file
from cartcast.commands.shared.shop_file import read_shop
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import OutputError, UsageError

if TYPE_CHECKING:
    from model.training.history import History


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    events: Events = None,
    format_name: OptionalFormat = None,
    from_clickhouse: FromClickHouse = False,
    since: Since = None,
    until: Until = None,
    horizons: Annotated[
        str, typer.Option(help="Labels: `session` and durations such as 30m, 24h or 7d, by commas.")
    ] = "session,1h,24h",
    shop_file: ShopFile = None,
    memory_limit_mb: MemoryLimit = 2048,
    work_dir: WorkDir = None,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """Write features and labels of a history as Parquet, a row an accepted event, for models of your own.

    The features are those that training sees, of what each shopper had done by then (docs/model.md). Labels say whether
    a purchase follows within each horizon, and what the goals and the money of --shop ask; they are null where the data
    end too early to know. Rows are by shopper, within one by arrival. The file appears whole or not at all.

    Example: cartcast export --events history.csv.gz --format taobao --out features.parquet
    """
    if out.suffix != ".parquet":
        raise UsageError(f"--out {out}: the name must end with .parquet")
    check_score_file(out)
    shop = read_shop(shop_file)
    names = (*horizon_names(horizons), *shop.goals)
    source = history_source(
        context.obj,
        events=events,
        format_name=format_name,
        from_clickhouse=from_clickhouse,
        since_ms=since,
        until_ms=until,
        strict=strict,
    )
    source.shop = shop
    try:
        with stop_signals_raise():
            history = read_for_training(source, memory_limit_mb, work_dir)
            columns = _write(history, names, out)
    except StopRequested:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print(json.dumps({**history.counts, "columns": columns, "out": str(out)}))
        return
    print(f"{out}: {len(history):,} events, {len(columns)} columns")


def _write(history: "History", names: Sequence[str], out: Path) -> list[str]:
    """Write the file, and return its columns."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from cartcast.commands.shared.feature_file import feature_tables

    unfinished, writer, done = out.with_name(f".{out.name}.unfinished"), None, 0
    try:
        with progress_bar("export", len(history)) as advance:
            for table in feature_tables(history, names):
                writer = writer or pq.ParquetWriter(unfinished, table.schema, compression="zstd")
                writer.write_table(table)
                done += len(table)
                advance(done, f"{done:,} events")
        assert writer is not None  # noqa: S101 - a history has an event
        writer.close()
        unfinished.replace(out)
    except OSError as failure:
        why = (failure.strerror or str(failure)).lower()
        raise OutputError(f"{out} cannot be written: {why}; make room or name another --out") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return list(table.schema.names)
