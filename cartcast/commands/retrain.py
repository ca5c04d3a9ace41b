"""`cartcast retrain`."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cartcast.commands.shared.checkpoint_lock import sole_writer
from cartcast.commands.shared.history_source import history_source, read_for_training
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    Device,
    MemoryLimit,
    Threads,
    WorkDir,
    moment_ms,
    settings_of,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.shop_file import read_shop
from cartcast.local.signals import StopRequested, acknowledge_stop, stop_signals_held, stop_signals_raise
from model.horizons import DAY_MS
from service.errors import EvaluationError, OutputError, TrainingError, UsageError

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from model.evaluation.challenge import Result
    from model.lstm import LSTMConfig
    from model.shop import Shop
    from model.training.history import History
    from model.training.train import Trained
    from service.clickhouse_settings import ClickHouseSettings


def retrain(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint directory that the workers read; default: that of worker.checkpoint."),
    ] = None,
    shop_file: Annotated[
        Path | None,
        typer.Option(
            "--shop", metavar="FILE", help="The shop's definition from now on; default: the checkpoint's own."
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Learn from so many days.")] = 28,
    until: Annotated[
        int | None,
        typer.Option(parser=moment_ms, metavar="TIME", help="The end of these days; default: the latest event."),
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    memory_limit_mb: MemoryLimit = 2048,
    work_dir: WorkDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train the serving checkpoint's recipe on the last days, and publish the result if it is better.

    The events come from ClickHouse; training begins with the weights that serve. Both are compared on the newest
    days, from which neither has learnt. A better one replaces the directory at once, and the replaced one is kept
    beside it as DIR.previous; workers take it when they restart. One line, and the page DIR.retrain.html, say why or
    why not. With --shop the candidate learns with another definition: both are compared at what both predict.

    Example: cartcast retrain --checkpoint checkpoints/shop --days 28
    """
    settings = settings_of(context)
    directory = checkpoint or settings.worker.checkpoint
    if directory is None:
        raise UsageError("no checkpoint is named: give --checkpoint DIR, or set CARTCAST_WORKER__CHECKPOINT")
    try:
        with stop_signals_raise(), sole_writer(directory):
            current = _current(directory)
            since_ms, until_ms = _period(settings.clickhouse, days, until)

            def read(shop: "Shop") -> "History":
                source = history_source(
                    context.obj,
                    events=None,
                    format_name=None,
                    from_clickhouse=True,
                    since_ms=since_ms,
                    until_ms=until_ms,
                    strict=False,
                )
                source.shop = shop
                return read_for_training(source, memory_limit_mb, work_dir)

            serving = current.model.config.shop
            shop = serving if shop_file is None else read_shop(shop_file)
            history = read(shop)
            served = history if shop == serving else read(serving)
            told = _retrained(_Retraining(directory, current, history, served), device, threads)
    except StopRequested:
        print("\nstopped: nothing was published", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print(json.dumps(told) if as_json else _sentence(told))
    print(f"the page is {told['page']}", file=sys.stderr)


def _period(settings: "ClickHouseSettings", days: int, until_ms: int | None) -> tuple[int, int]:
    """Return the first millisecond of the last days, and the one after their last."""
    from sinks.stored import latest_event_ms

    end_ms = latest_event_ms(settings) + 1 if until_ms is None else until_ms
    return end_ms - days * DAY_MS, end_ms


def _current(directory: Path) -> "Checkpoint":
    """Return the checkpoint that serves: the one that ships, if there is none at the directory yet."""
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint

    return load_checkpoint(directory if directory.exists() else DEFAULT_CHECKPOINT)


@dataclass(frozen=True, slots=True)
class _Retraining:
    """What is learnt from, and what it may replace."""

    directory: Path
    current: "Checkpoint"
    history: "History"
    """Read with the candidate's shop."""
    served: "History"
    """The same events, read with the current shop."""

    @property
    def config(self) -> "LSTMConfig":
        """The candidate's: the current one's, with the horizons of its purchases and the goals of its own shop."""
        config, shop = self.current.model.config, self.history.shop
        purchases = (name for name in config.horizons if name not in config.shop.goals)
        if shop == config.shop:
            return config
        return msgspec.structs.replace(config, shop=shop, horizons=(*purchases, *shop.goals))

    @property
    def replaced(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.previous")

    @property
    def page(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.retrain.html")


def _retrained(retraining: _Retraining, device: str, threads: int) -> dict[str, Any]:
    """Train, compare, publish what is better and write the page; returns what `--json` prints."""
    from model.evaluation.challenge import Challenge, Result

    trained, told = None, dict[str, Any].fromkeys(("judged_from", "judged_until", "judged_events"))
    try:
        horizons, served = retraining.config.horizons, retraining.served
        challenge = Challenge.of(retraining.history, retraining.current, horizons=horizons, served=served)
        told |= challenge.period
        trained = _train(retraining, device, threads)
        result = challenge.result(trained)
    except (EvaluationError, TrainingError) as lack:
        result = Result(False, str(lack))
    told |= _told(retraining, result)
    try:
        with stop_signals_held():
            if trained is not None and result.is_better:
                told |= _published(retraining, trained, told)
            _write_page(retraining.page, told, result)
    except StopRequested:
        acknowledge_stop()  # it came when all was done
    return told


def _train(retraining: _Retraining, device: str, threads: int) -> "Trained":
    from model.inference import select_device
    from model.training.fitting import TrainingSettings
    from model.training.train import train

    current = retraining.current
    settings = msgspec.convert(current.training.get("settings", {}), TrainingSettings)
    with progress_bar("train", 1.0) as advance:
        return train(
            retraining.history,
            replace(settings, threads=threads),
            retraining.config,
            advance,
            start=current.model,
            device=select_device(device),
        )


def _told(retraining: _Retraining, result: "Result") -> dict[str, Any]:
    from model.evaluation.challenge import common_horizons
    from model.events import rfc3339
    from model.training.split import data_bounds

    first_ms, last_ms = data_bounds(retraining.history.time_ms)
    compared, config = result.compared or {}, retraining.config
    common = common_horizons(config.horizons, config.shop, retraining.current)
    return {
        "published": False,
        "why": result.why,
        "not_compared": [name for name in config.horizons if name not in common],
        "gone": [name for name in retraining.current.model.config.horizons if name not in config.horizons],
        "checkpoint": str(retraining.directory),
        "current": retraining.current.version,
        "version": None,
        "replaced": None,
        "titles": {name: config.shop.title(name) for name in config.horizons},
        "verdicts": result.verdicts,
        "differences": compared.get("differences", {}).get("current"),
        **retraining.history.counts,
        "first_event": rfc3339(first_ms),
        "last_event": rfc3339(last_ms),
        "page": str(retraining.page),
    }


def _published(retraining: _Retraining, trained: "Trained", told: dict[str, Any]) -> dict[str, Any]:
    """Put the candidate where the workers read it; returns what has changed of what is told."""
    judged = {name: told[name] for name in ("current", "judged_from", "judged_until", "judged_events", "verdicts")}
    is_first = not retraining.directory.exists()
    learnt = replace(
        trained,
        training=trained.training | {"retrained": judged},
        items=retraining.current.items,  # which are learnt from files (`cartcast train --next-items`)
    )
    version = learnt.save(retraining.directory, replaced=retraining.replaced)
    return {"published": True, "version": version, "replaced": None if is_first else str(retraining.replaced)}


def _write_page(page: Path, told: dict[str, Any], result: "Result") -> None:
    from model.evaluation.report import challenge_page, write_whole

    try:
        write_whole(page, challenge_page(told, result.compared))
    except OSError as failure:
        raise OutputError(f"the page {page} cannot be written: {(failure.strerror or '').lower()}") from None


def _sentence(told: dict[str, Any]) -> str:
    if not told["published"]:
        return f"not published, {told['current']} stays: {told['why']}"
    said = [told["why"]]
    said += [f"nothing to compare {', '.join(told['not_compared'])} with"] if told["not_compared"] else []
    said += [f"without {', '.join(told['gone'])}"] if told["gone"] else []
    return (
        f"published {told['version']} in place of {told['current']}: {'; '.join(said)}; restart the workers to serve it"
    )
