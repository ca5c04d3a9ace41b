"""`cartcast train`."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cartcast.commands.shared.history_source import history_source, read_for_training
from cartcast.commands.shared.money_view import money_table, money_verdict
from cartcast.commands.shared.next_items import NextItemLearning, next_items_table
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    Device,
    Events,
    FromClickHouse,
    MemoryLimit,
    OptionalFormat,
    Seed,
    ShopFile,
    Since,
    Strict,
    Threads,
    Until,
    WorkDir,
    head_names,
    horizon_names,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.shop_file import read_shop
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from model.lstm import LSTMConfig, PropensityLSTM
    from model.training.fitting import TrainingSettings
    from model.training.history import History
    from model.training.resume import DirectoryStateStore
    from model.training.train import Trained


def train(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option(
            help="Checkpoint directory to write; an earlier checkpoint there is replaced.", metavar="DIRECTORY"
        ),
    ],
    events: Events = None,
    format_name: OptionalFormat = None,
    from_clickhouse: FromClickHouse = False,
    since: Since = None,
    until: Until = None,
    horizons: Annotated[
        str, typer.Option(help="`session` and durations such as 30m, 24h or 7d, by commas.")
    ] = "session,1h,24h",
    shop_file: ShopFile = None,
    head: Annotated[
        list[str] | None, typer.Option(help="Predict more: next_type, purchase_category; may be repeated.")
    ] = None,
    next_items: Annotated[
        bool, typer.Option("--next-items", help="Learn which item comes next, too: the worker then recommends items.")
    ] = False,
    items: Annotated[
        Path | None,
        typer.Option(help="Catalogue to learn with --next-items from, as `cartcast items load` reads.", metavar="FILE"),
    ] = None,
    seed: Seed = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 12,
    hidden_size: Annotated[int, typer.Option(min=1, max=1024, help="Size of the LSTM's state.")] = 64,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin with random weights, not with those of the shipped model.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last epoch that was finished.")] = False,
    device: Device = "auto",
    threads: Threads = 1,
    memory_limit_mb: MemoryLimit = 2048,
    work_dir: WorkDir = None,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train a model on history, measure how it does on later days and new shoppers, and write a checkpoint.

    Twice a model is trained on what came before a part of the time, without a fifth of the shoppers, and compared on
    that part with a linear one. Then the same is done with everything. Training begins with the weights of the shipped
    model. The checkpoint appears whole or not at all.

    Example: cartcast train --events history.csv.gz --format taobao --out checkpoints/shop --seed 1
    """
    shop, heads = read_shop(shop_file), head_names(head or [])
    names = (*horizon_names(horizons), *shop.goals)
    _check_destination(out)
    if items is not None and not next_items:
        raise UsageError("--items goes with --next-items: propensities are learnt from events alone")
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
    from model.lstm import LSTMConfig
    from model.training.fitting import TrainingSettings

    settings = TrainingSettings(seed=seed, epochs=epochs, threads=threads)
    config = LSTMConfig(hidden_size=hidden_size, horizons=names, heads=heads, shop=shop)
    try:
        with stop_signals_raise():
            learning = NextItemLearning(items, seed, shop) if next_items else None
            history = read_for_training(
                source, memory_limit_mb, work_dir, None if learning is None else learning.reader
            )
            if learning is not None:
                learning.check_catalogue()
            start = None if from_scratch else _shipped()
            store = _state_store(out, history, (settings, from_scratch), config, resume=resume)
            trained = _train(history, settings, config, start, device, store)
            if learning is not None:
                trained = replace(trained, **learning.learnt(trained))
            version = _save(out, trained)
            store.forget()
    except StopRequested:
        print("\nstopped; the same command with --resume goes on after the last finished epoch", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _report(out, version, trained, as_json=as_json)


def _check_destination(out: Path) -> None:
    """Find out before the work, not after it, that its result cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists() and not (out / "checkpoint.json").is_file() and any(out.iterdir()):
            raise UsageError(f"{out} exists and is no checkpoint: name another --out directory")
    except OSError as failure:
        raise _unwritable(out, failure) from None


def _unwritable(out: Path, failure: OSError) -> UsageError:
    return UsageError(f"no checkpoint can be written to {out}: {(failure.strerror or str(failure)).lower()}")


def _state_store(
    out: Path, history: "History", settings: object, config: "LSTMConfig", *, resume: bool
) -> "DirectoryStateStore":
    """Return what this training goes on from: nothing, unless it is to be resumed.

    Raises UsageError if it is to be resumed, but has ended: what it made is not replaced unasked.
    """
    from model.training.resume import DirectoryStateStore, fingerprint

    store = DirectoryStateStore(out.parent / f".{out.name}.training", fingerprint(history, settings, config))
    if resume and not store.exists():
        if (out / "checkpoint.json").is_file():
            raise UsageError(
                f"{out} is finished, and no training of it was interrupted: to train again, leave out --resume"
            )
        print("there is no training to resume: starting from the beginning", file=sys.stderr)
    if not resume and store.exists():
        print("starting from the beginning; --resume would have gone on with an interrupted training", file=sys.stderr)
        store.forget()
    return store


def _shipped() -> "PropensityLSTM":
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint

    return load_checkpoint(DEFAULT_CHECKPOINT).model


def _train(
    history: "History",
    settings: "TrainingSettings",
    config: "LSTMConfig",
    start: "PropensityLSTM | None",
    device: str,
    store: "DirectoryStateStore",
) -> "Trained":
    from model.inference import select_device
    from model.training.train import train as train_model

    with progress_bar("train", 1.0) as advance:
        return train_model(history, settings, config, advance, start=start, device=select_device(device), store=store)


def _save(out: Path, trained: "Trained") -> str:
    try:
        return trained.save(out)
    except OSError as failure:
        raise _unwritable(out, failure) from None


def _report(out: Path, version: str, trained: "Trained", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"checkpoint": str(out), "version": version, **trained.training, "metrics": trained.metrics}))
        return
    from rich.console import Console

    for name, why in trained.training["refused_horizons"].items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    Console().print(_table(trained.metrics))
    for line in _verdicts(trained.metrics):
        print(line)
    if "money" in trained.metrics:
        money = trained.model.config.shop.money
        measured = trained.metrics["money"]["chain"]
        Console().print(money_table(measured, "" if money is None else money.words))
        print(money_verdict(measured))
    if "heads" in trained.metrics["test"]:
        Console().print(_heads_table(trained.metrics["test"]["heads"]))
    for goal in trained.metrics.get("next_items", {}).get("goals", ()):
        Console().print(next_items_table(trained.metrics["next_items"], goal))
    print(f"{version} is in {out}; serve it with CARTCAST_WORKER__CHECKPOINT={out} cartcast worker")


def _table(metrics: dict[str, Any]) -> "Table":
    """Show how the recipe does on later events, beside the linear model alone, a line per horizon."""
    from rich.table import Table

    table = Table("horizon", "events", "base rate", title="later days, a fifth of the shoppers new")
    for name in ("PR AUC", "linear's", "log loss", "linear's"):
        table.add_column(name, justify="right")
    chain = metrics["chain"]
    for horizon, counts in chain["counts"].items():
        ours, linear = (chain["models"][model][horizon] for model in ("cartcast", "ridge"))
        values = [ours["base_rate"], *(found[name] for name in ("pr_auc", "log_loss") for found in (ours, linear))]
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(horizon, f"{counts['events']:,}", *cells)
    return table


def _verdicts(metrics: dict[str, Any]) -> list[str]:
    """Say what the network is worth beside a linear model on the same numbers, a line per horizon."""
    said = {
        "better": "better than a linear model on the same numbers",
        "no different": "the network adds nothing that this history can show to a linear model on the same numbers",
        "worse": "worse than a linear model on the same numbers: give a longer history or more shoppers",
    }
    chain, verdicts = metrics["chain"], metrics["verdicts"]
    return [
        f"{horizon}: {said[verdicts[horizon]]} ({_intervals(chain['differences']['ridge'][horizon])})"
        for horizon in chain["counts"]
    ]


def _intervals(differences: dict[str, Any]) -> str:
    """Return the 95 % intervals of the differences in PR AUC and log loss."""
    found = (("PR AUC", differences["pr_auc"]["interval"]), ("log loss", differences["log_loss"]["interval"]))
    known = [f"{name} {interval[0]:+.4f} to {interval[1]:+.4f}" for name, interval in found if interval is not None]
    return ", ".join(known) or "too few shoppers for an interval"


def _heads_table(heads: dict[str, Any]) -> "Table":
    """Show how often the extra heads are right in the test part, a column a head."""
    from rich.table import Table

    table = Table("", *heads, title="extra heads, test part")
    for name in ("events", "top1", "at_hand_top1", "most_frequent_top1", "top5", "most_frequent_top5"):
        values = [found[name] for found in heads.values()]
        cells = ("-" if value is None else f"{value:,}" if name == "events" else f"{value:.4f}" for value in values)
        table.add_row(name.replace("_", " "), *cells)
    return table
