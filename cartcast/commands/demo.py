"""`cartcast demo`: the whole pipeline on this machine."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.local.signals import StopRequested
from model.events import Event

if TYPE_CHECKING:  # what the demo is made of takes half a second to load: not for every command's --help
    from cartcast.demo.run import DemoOptions, DemoResult

DEFAULT_RATE = 500.0
EXIT_INTERRUPTED = 130


def demo(
    context: typer.Context,
    events: Annotated[
        int | None, typer.Option(min=1, help="End after so many events; without it: until Ctrl-C.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="Simulated shoppers.")] = 2000,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Events per second. Default: full speed with --events, 500 without it."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 1,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep Kafka's and ClickHouse's data here; default: thrown away.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes that share the partitions.")] = 1,
    dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="Live view, when stderr is a terminal.")
    ] = True,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save the last live view as SVG, e.g. docs/demo.svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, last.")] = False,
) -> None:
    """Run the whole pipeline with simulated shoppers: real Kafka, Faust worker, sink, real ClickHouse engine.

    With --events it ends when all are scored and stored, and succeeds only if nothing was lost or doubled. That is
    found by comparing what was produced with what a stock consumer and a query read back. latency_ms is the time from
    an event record's CreateTime to its score record's LogAppendTime; at full speed most of it is waiting in the queue,
    so use --rate to see the delay of a shop that is not flooded.

    Example: cartcast demo --events 50000 --users 2000
    """
    from cartcast.demo.run import DemoOptions, run_demo  # noqa: PLC0415 - see TYPE_CHECKING
    from cartcast.demo.screen import LiveScreen, PlainScreen  # noqa: PLC0415 - see TYPE_CHECKING

    is_live = dashboard and sys.stderr.isatty()
    options = DemoOptions(
        events=events,
        users=users,
        rate=rate if rate is not None or events is not None else DEFAULT_RATE,
        workers=workers,
        reads_along=is_live or picture is not None,
    )
    screen = LiveScreen() if is_live else PlainScreen()
    try:
        result = run_demo(options, directory, context.obj, lambda: _simulate(options, seed), screen, _report)
    except StopRequested:
        _report("stopped before the shoppers came in")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _end(options, result, picture, as_json=as_json)


def _end(options: "DemoOptions", result: "DemoResult", picture: Path | None, *, as_json: bool) -> None:
    from cartcast.demo.summary import succeeded, summary_json, summary_lines  # noqa: PLC0415 - see TYPE_CHECKING
    from cartcast.demo.view import save_picture  # noqa: PLC0415 - see TYPE_CHECKING

    if picture is not None:
        save_picture(result.last, picture, " ".join(["cartcast", *sys.argv[1:]]))
        _report(f"saved {picture}")
    print(json.dumps(summary_json(options, result)) if as_json else "\n".join(summary_lines(options, result)))
    if not succeeded(result):
        raise typer.Exit(1)
    if result.comparison is None and options.events is not None:
        raise typer.Exit(EXIT_INTERRUPTED)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _simulate(options: "DemoOptions", seed: int) -> Iterable[Event]:
    from model.simulator import SimulationSettings, simulate  # noqa: PLC0415 - see TYPE_CHECKING

    return simulate(SimulationSettings(events=options.events, users=options.users, seed=seed))
