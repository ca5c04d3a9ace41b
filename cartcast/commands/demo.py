"""`cartcast demo`: the whole pipeline on this machine."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.commands.shared.options import EXIT_INTERRUPTED
from cartcast.local.signals import StopRequested
from service.errors import UsageError

if TYPE_CHECKING:
    from cartcast.demo.pace import Pace
    from cartcast.demo.run import DemoOptions, DemoResult
    from model.simulator import Simulation

DEFAULT_SPEED = 1440.0
"""A day of the shop in a minute."""
DEFAULT_HISTORY_HOURS = 48.0
DEFAULT_USERS = 2000
DEFAULT_USERS_OF_A_DAY = 10_000
"""So many that something happens at night, too."""


def demo(
    context: typer.Context,
    events: Annotated[
        int | None, typer.Option(min=1, help="End after so many events; without it: until Ctrl-C.")
    ] = None,
    users: Annotated[
        int | None, typer.Option(min=1, help="Simulated shoppers. Default: 2000, with --speed 10000.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Events per second."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Time compression: seconds of the shop in a second. Default: full speed with --events, else 1440.",
        ),
    ] = None,
    history: Annotated[
        float | None,
        typer.Option(min=0, help="With --speed: hours of the shop that have passed at the start. Default: 48."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 1,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep Kafka's and ClickHouse's data here; default: thrown away.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes that share the partitions.")] = 1,
    dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="The dashboard's pages, and a live view on a terminal.")
    ] = True,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save the last live view as SVG, e.g. docs/demo.svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, last.")] = False,
) -> None:
    """Run the whole pipeline with simulated shoppers: Kafka, Faust worker, sink, ClickHouse engine, dashboard.

    With --events it ends when all are scored and stored, and succeeds only if nothing was lost or doubled. That is
    found by comparing what was produced with what a stock consumer and a query read back. latency_ms is the time from
    an event record's CreateTime to its score record's LogAppendTime; at full speed most of it is waiting in the queue,
    so use --rate to see the delay of a shop that is not flooded.

    Without --events, --rate and --speed a day of the shop takes a minute, and the day before yesterday and yesterday
    are in the table when it opens.

    Example: cartcast demo --events 50000 --users 2000
    """
    pace = _pace(events, rate, speed, history)
    from cartcast.demo.run import DemoOptions, run_demo
    from cartcast.demo.screen import LiveScreen, PlainScreen

    is_live = dashboard and sys.stderr.isatty()
    options = DemoOptions(
        events=events,
        users=users or (DEFAULT_USERS if pace.speed is None else DEFAULT_USERS_OF_A_DAY),
        pace=pace,
        dashboard=dashboard,
        workers=workers,
        reads_along=dashboard or picture is not None,
    )
    screen = LiveScreen() if is_live else PlainScreen()
    try:
        result = run_demo(options, directory, context.obj, _simulation(options, seed), screen, _report)
    except StopRequested:
        _report("stopped before the shoppers came in")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _end(options, result, picture, as_json=as_json)


def _pace(events: int | None, rate: float | None, speed: float | None, history: float | None) -> "Pace":
    from cartcast.demo.pace import Pace

    if rate is not None and speed is not None:
        raise UsageError("--rate and --speed are two ways to say how fast: give one of them")
    if events is None and rate is None and speed is None:
        speed = DEFAULT_SPEED
    if history is not None and speed is None:
        raise UsageError("--history needs --speed: without it the shop's time has no clock")
    hours = DEFAULT_HISTORY_HOURS if history is None else history
    return Pace(rate, speed, hours, time.time_ns() // 1_000_000) if speed is not None else Pace(rate)


def _end(options: "DemoOptions", result: "DemoResult", picture: Path | None, *, as_json: bool) -> None:
    from cartcast.demo.summary import succeeded, summary_json, summary_lines
    from cartcast.demo.view import save_picture

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


def _simulation(options: "DemoOptions", seed: int) -> "Simulation":
    from cartcast.demo.shop import ITEMS
    from model.simulator import Simulation, SimulationSettings

    return Simulation(
        SimulationSettings(
            events=options.events,
            users=options.users,
            seed=seed,
            start_ms=options.pace.start_ms,
            items=ITEMS,
            with_tastes=True,
        )
    )
