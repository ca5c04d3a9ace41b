"""`cartcast evaluate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cartcast.commands.shared.history_source import HistorySource, history_source, read_along
from cartcast.commands.shared.money_view import money_table, money_verdict
from cartcast.commands.shared.next_items import NextItemEvaluation, next_items_table
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    Events,
    FromClickHouse,
    OptionalFormat,
    Seed,
    Since,
    Strict,
    Threads,
    Until,
    moment_ms,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from model.evaluation.evaluate import EvaluationSettings
    from model.items.journeys import JourneyReader
    from model.training.history import History


def evaluate(
    context: typer.Context,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            help="Checkpoint directory that `cartcast train` wrote; the one that ships if not given. "
            "Given several times, the first is judged beside the others.",
            metavar="DIRECTORY",
        ),
    ] = None,
    events: Events = None,
    format_name: OptionalFormat = None,
    from_clickhouse: FromClickHouse = False,
    since: Since = None,
    until: Until = None,
    after: Annotated[
        int | None,
        typer.Option(
            parser=moment_ms,
            metavar="TIME",
            help="Evaluate the events from this time on; the test part of the checkpoint's split if not given.",
        ),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(help="Catalogue of a checkpoint that recommends, as `cartcast items load` reads.", metavar="FILE"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write report.html and report.json to.", metavar="DIRECTORY")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Train simpler models on the same split to compare with.")
    ] = True,
    gru4rec: Annotated[
        bool, typer.Option("--gru4rec", help="Measure next items beside GRU4Rec, too; needs the extra gru4rec.")
    ] = False,
    replicas: Annotated[int, typer.Option(min=0, help="Draws of users behind the 95 % intervals.")] = 200,
    seed: Seed = 1,
    threads: Threads = 1,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as one JSON object.")] = False,
) -> None:
    """Say how good a checkpoint is, beside simpler models trained on the same split.

    Give the history that it was trained on, to evaluate the time that training kept back; or that history and what
    came later, with --after. Metrics come per horizon and as their mean, for all users, for users never seen in
    training, and by the number of earlier events, with intervals over users (docs/evaluation.md). Of a checkpoint that
    recommends, next items are measured, too: its recipe, learnt on what came before, beside simple methods.

    Example: cartcast evaluate --events history.csv.gz --format taobao --checkpoint checkpoints/shop --out report
    """
    from model.evaluation.evaluate import EvaluationSettings

    _check_destination(out)
    source = history_source(
        context.obj,
        events=events,
        format_name=format_name,
        from_clickhouse=from_clickhouse,
        since_ms=since,
        until_ms=until,
        strict=strict,
    )
    settings = EvaluationSettings(after_ms=after, baselines=baselines, replicas=replicas, seed=seed, threads=threads)
    try:
        with stop_signals_raise():
            report = _evaluate(source, checkpoints or [], items, settings, gru4rec=gru4rec)
            if out is not None:
                _write(report, out)
    except StopRequested:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _print(report, out, as_json=as_json)


def _evaluate(
    source: HistorySource,
    directories: list[Path],
    catalogue: Path | None,
    settings: "EvaluationSettings",
    *,
    gru4rec: bool,
) -> dict[str, Any]:
    import torch

    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
    from model.evaluation.evaluate import evaluate_checkpoint

    torch.set_num_threads(settings.threads)
    checkpoint, *others = [load_checkpoint(directory) for directory in directories or [DEFAULT_CHECKPOINT]]
    source.shop = checkpoint.model.config.shop
    recommends = checkpoint.items is not None or catalogue is not None or gru4rec
    next_items = NextItemEvaluation(catalogue, checkpoint, settings, gru4rec=gru4rec) if recommends else None
    history = _read(source, None if next_items is None else next_items.reader)
    with progress_bar("evaluate", 1.0) as advance:
        report = evaluate_checkpoint(
            history, checkpoint, settings, advance, others=others, apart=lambda: _read_apart(source)
        )
    if next_items is not None:
        next_items.added_to(report)
    return report


def _read(source: HistorySource, journeys: "JourneyReader | None") -> "History":
    from model.training.history import read_history

    with progress_bar("read", source.total) as advance:
        rows = source.allowed_rows(lambda done: advance(done, ""))
        history = read_history(rows if journeys is None else read_along(rows, journeys), shop=source.shop)
    for line in source.said_of_bad_rows():
        print(line, file=sys.stderr)
    history.require_order()
    return history


def _read_apart(source: HistorySource) -> "History":
    """Read a history whose bad rows have been told of, its ids as those of shoppers by themselves."""
    from model.training.history import read_history

    return read_history(source.allowed_rows(lambda _: None), shop=source.shop, follows_identities=False)


def _check_destination(out: Path | None) -> None:
    """Find out before the work, not after it, that its result cannot be written."""
    if out is None:
        return
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if is_new:
            out.rmdir()  # it appears with its report
    except OSError as failure:
        raise _unwritable(out, failure) from None


def _write(report: dict[str, Any], out: Path) -> None:
    from model.evaluation.report import write_report

    try:
        write_report(report, out)
    except OSError as failure:
        raise _unwritable(out, failure) from None


def _unwritable(out: Path, failure: OSError) -> UsageError:
    return UsageError(f"no report can be written to {out}: {(failure.strerror or str(failure)).lower()}")


def _print(report: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: value for name, value in report.items() if name != "curves"}, allow_nan=False))
        return
    from rich.console import Console

    console = Console()
    for note in report["notes"]:
        console.print(f"note: {note}", highlight=False)
    for horizon in (*report["horizons"], "total"):
        console.print(_table(report, horizon))
    if "after_login" in report["slices"]:
        console.print(_table(report, "total", "after_login"))
    if report["money"] is not None:
        console.print(money_table(report["money"], report["money"]["asked"]))
        print(money_verdict(report["money"]))
    for goal in (report["next_items"] or {}).get("goals", ()):
        console.print(next_items_table(report["next_items"], goal))
    if out is not None:
        print(f"the report is in {out / 'report.html'}")


def _table(report: dict[str, Any], horizon: str, group: str = "all") -> "Table":
    """Show a horizon's metrics over a group of events, a line a model."""
    from rich import box
    from rich.table import Table

    from model.evaluation.report.formatting import METRIC_TITLES, number, short_title

    names = ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "f1")
    measured, words = report["slices"][group]["models"], report["titles"][horizon]
    if group != "all":
        words = f"{report['slices'][group]['title']}. {words}"
    base_rate = number("base_rate", measured["cartcast"][horizon]["base_rate"])
    table = Table(title=f"{words}, base rate {base_rate}", title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(METRIC_TITLES[name], justify="right")
    for model in report["models"]:
        if model["name"] not in measured:
            continue
        values = measured[model["name"]][horizon]
        table.add_row(short_title(model), *(number(name, values[name]) for name in names))
    return table
