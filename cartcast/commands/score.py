"""`cartcast score`."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.commands.shared.history_source import HistorySource, history_source
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    CheckpointOption,
    Device,
    Events,
    FromClickHouse,
    OptionalFormat,
    Since,
    Strict,
    Until,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.score_file import check_score_file, score_file
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import UsageError

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from model.offline import OfflineScoring


def score(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv, .jsonl; the last two also .gz.")],
    checkpoint: CheckpointOption = None,
    events: Events = None,
    format_name: OptionalFormat = None,
    from_clickhouse: FromClickHouse = False,
    since: Since = None,
    until: Until = None,
    device: Device = "auto",
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """Score a history as the worker would have, one row an accepted event, in the order of the input.

    Columns: row (number of the event's row in the input from 0, bad rows included), user_id, event_id, event_time
    (epoch milliseconds), a propensity for each of the checkpoint's horizons, and what its extra heads say. The file
    appears whole or not at all.

    Example: cartcast score --events later.csv.gz --format taobao --checkpoint checkpoints/shop --out scores.parquet
    """
    check_score_file(out)
    if out.exists() and any(file.exists() and file.samefile(out) for file in events or ()):
        raise UsageError(f"--out {out} is one of the files to read: name another")
    source = history_source(
        context.obj,
        events=events,
        format_name=format_name,
        from_clickhouse=from_clickhouse,
        since_ms=since,
        until_ms=until,
        strict=strict,
    )
    started = time.monotonic()
    loaded, scoring = _scoring(checkpoint, device)
    source.shop = loaded.model.config.shop
    try:
        with stop_signals_raise():
            _score(source, scoring, out, loaded.model.config.horizons)
    except StopRequested:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _report(source, scoring, loaded.version, out, time.monotonic() - started, as_json=as_json)


def _scoring(directory: Path | None, device: str) -> "tuple[Checkpoint, OfflineScoring]":
    import torch

    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
    from model.inference import Scorer, select_device
    from model.offline import OfflineScoring

    torch.set_num_threads(1)  # the steps are too small to share
    checkpoint = load_checkpoint(directory or DEFAULT_CHECKPOINT)
    scorer = Scorer(checkpoint, select_device(device))
    names, levels = checkpoint.head_names, checkpoint.levels
    return checkpoint, OfflineScoring(scorer, checkpoint.codec, head_names=names, levels=levels)


def _score(source: HistorySource, scoring: "OfflineScoring", out: Path, horizons: Sequence[str]) -> None:
    counts = scoring.counts
    with score_file(out, horizons, scoring.extra_fields) as file, progress_bar("score", source.total) as advance:
        rows = source.allowed_rows(lambda done: advance(done, f"{counts.scored:,} events"))
        for scored in scoring.score(rows):
            file.write(scored)
        advance(source.total, f"{counts.scored:,} events")


def _report(
    source: HistorySource, scoring: "OfflineScoring", version: str, out: Path, seconds: float, *, as_json: bool
) -> None:
    for line in source.said_of_bad_rows():
        print(line, file=sys.stderr)
    counts = scoring.counts
    if as_json:
        said = {**asdict(counts), "without_consent": source.without_consent, "users": scoring.users}
        print(json.dumps({**said, "model": version, "out": str(out), "seconds": round(seconds, 3)}))
        return
    print(
        f"{out}: scores of {counts.scored:,} events by {version} in {seconds:.1f} s; "
        f"left out {counts.duplicates:,} duplicates, {counts.late:,} late events, "
        f"{counts.impressions:,} impressions and {counts.bad_rows:,} bad rows"
    )
