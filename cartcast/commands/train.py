"""`cartcast train`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cartcast.errors import UsageError
from cartcast.event_files import EventFiles
from cartcast.format_option import FormatName
from cartcast.progress import progress_bar

if TYPE_CHECKING:
    from model.history import History
    from model.train import Trained, TrainingSettings


def train(
    events: Annotated[list[Path], typer.Option(help="File of events, plain or .gz; may be given several times.")],
    format_name: FormatName,
    out: Annotated[Path, typer.Option(help="Checkpoint directory to write; an earlier checkpoint there is replaced.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed and data give the same model.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the data; training stops when done.")] = 15,
    hidden_size: Annotated[int, typer.Option(min=1, max=1024, help="Size of the LSTM's state.")] = 64,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; more than one pays on an idle machine only.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train a model on history, calibrate it, evaluate it on a later time, and write a checkpoint.

    The last parts of the time are kept back: one decides when to stop and calibrates, the last one is only reported
    on. The checkpoint appears whole or not at all.

    Example: cartcast train --events history.csv.gz --format taobao --out checkpoints/shop --seed 1
    """
    from model.checkpoint import save_checkpoint  # noqa: PLC0415 - torch is slow to import
    from model.train import TrainingSettings  # noqa: PLC0415

    _check_destination(out)
    history = _read(EventFiles(events, format_name, strict=strict))
    trained = _train(history, TrainingSettings(seed=seed, epochs=epochs, threads=threads), hidden_size)
    try:
        version = save_checkpoint(
            out,
            trained.model,
            calibration=trained.calibration,
            metrics=trained.metrics,
            training=trained.training,
        )
    except OSError as failure:
        raise _unwritable(out, failure) from None
    if as_json:
        print(json.dumps({"checkpoint": str(out), "version": version, **trained.training, "metrics": trained.metrics}))
    else:
        Console().print(_table(trained.metrics["test"]))
        print(f"{version} is in {out}; serve it with CARTCAST_WORKER__CHECKPOINT={out} cartcast worker")


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


def _read(files: EventFiles) -> "History":
    from model.history import read_history  # noqa: PLC0415 - numpy and the features are slow to import

    with progress_bar("read", files.total_bytes) as advance:
        return read_history(files.rows(lambda done_bytes: advance(done_bytes, "")))


def _train(history: "History", settings: "TrainingSettings", hidden_size: int) -> "Trained":
    from model.lstm import LSTMConfig  # noqa: PLC0415 - torch is slow to import
    from model.train import train as train_model  # noqa: PLC0415

    print(f"{len(history):,} events of {len(history.user_ids):,} users, {history.bad_rows:,} bad rows", file=sys.stderr)
    with progress_bar("train", 1.0) as advance:
        return train_model(history, settings, LSTMConfig(hidden_size=hidden_size), advance)


def _table(metrics: dict[str, Any]) -> Table:
    """Show what the test part says, a line a horizon."""
    names = ("base_rate", "roc_auc", "pr_auc", "log_loss", "brier", "ece")
    table = Table("horizon", "events", *(name.replace("_", " ") for name in names), title="test part")
    for horizon, found in metrics.items():
        cells = ("-" if found.get(name) is None else f"{found[name]:.4f}" for name in names)
        table.add_row(horizon, f"{found['events']:,}", *cells)
    return table
