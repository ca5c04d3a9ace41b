"""`cartcast simulate`."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from cartcast.commands.shared.options import EXIT_INTERRUPTED, moment_ms
from cartcast.commands.shared.progress import Advance, progress_bar
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import UsageError

if TYPE_CHECKING:
    from model.simulator import SimulationSettings


def start_ms(text: str) -> int:
    """Return the epoch milliseconds of --start."""
    return time.time_ns() // 1_000_000 if text == "now" else moment_ms(text)


_EVENTS_BETWEEN_REPORTS = 10_000


def simulate(
    events: Annotated[int, typer.Option(min=1, help="How many events, repeated ones included.")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="How many shoppers.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same events.")] = 1,
    start: Annotated[
        int | None,
        typer.Option(parser=start_ms, metavar="TIME", help="When they begin: now, or a time. Default: 2026-01-05."),
    ] = None,
    items: Annotated[int | None, typer.Option(min=200, help="How many items the shop has. Default: 10,000.")] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            help="Shoppers have tastes, items arrive and sell out: write what the shop says of them to a file."
        ),
    ] = None,
    logins: Annotated[
        bool,
        typer.Option(
            "--logins", help="Visits begin under anonymous ids, log-ins come between, some devices are shared."
        ),
    ] = False,
    impressions: Annotated[
        bool,
        typer.Option(
            "--impressions", help="Lists are shown before some views: events of type impression come between."
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output if not given.")] = None,
    with_truth: Annotated[
        bool,
        typer.Option(
            "--with-truth",
            help="Add true_session, true_1h and true_24h to each event; with --catalogue true_next_items, too.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --out: print the counts as one JSON object.")] = False,
) -> None:
    """Write the events of simulated shoppers, one JSON object a line, in the order in which they arrive.

    The true propensities are the probabilities that a purchase follows, given the shopper's events so far and perfect
    knowledge of the process (docs/simulator.md). About 1 % of the events arrive late and 0.5 % twice.

    Piped into `cartcast replay /dev/stdin --format cartcast --speed 1`, shoppers of --start now live by the clock.

    With --catalogue, which item of a category and price level a shopper looks at follows from their taste and the item
    before. The file has a JSON object a line: an item with its words and the vector of its picture, and another line
    whenever it arrives or its stock changes. All else stays the same.

    Example: cartcast simulate --events 100000 --with-truth --out shop.jsonl
    """
    if as_json and out is None:
        raise UsageError("--json needs --out: without it standard output carries the events")
    from model.simulator import SimulationSettings

    settings = SimulationSettings(
        events=events,
        users=users,
        seed=seed,
        start_ms=SimulationSettings.start_ms if start is None else start,
        with_truth=with_truth,
        items=items or SimulationSettings.items,
        with_tastes=catalogue is not None,
        with_logins=logins,
        with_impressions=impressions,
    )
    started = time.monotonic()
    try:
        with stop_signals_raise(), _output(out) as file, progress_bar("simulate", events, visible=bool(out)) as advance:
            _write(settings, file, catalogue, advance)
    except StopRequested:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        print(json.dumps({"events": events, "users": users, "seed": seed, "out": str(out), "seconds": seconds}))


def _write(settings: "SimulationSettings", file: BinaryIO, catalogue: Path | None, advance: Advance) -> None:
    from model.simulator import Simulation

    simulation, encode, last_ms = Simulation(settings), msgspec.json.Encoder().encode, settings.start_ms
    for number, event in enumerate(simulation.events(), start=1):
        file.write(encode(event) + b"\n")
        last_ms = max(last_ms, event.ts)
        if number % _EVENTS_BETWEEN_REPORTS == 0:
            advance(number, f"{number:,} events")
    if catalogue is not None:
        with _output(catalogue) as items:
            items.writelines(encode(line) + b"\n" for line in simulation.catalogue_lines(last_ms))
    advance(settings.events or 0, f"{settings.events:,} events")


@contextmanager
def _output(out: Path | None) -> Iterator[BinaryIO]:
    """Open the output; a file appears under its name only when it is complete."""
    if out is None:
        yield sys.stdout.buffer
        return
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(out)
    except OSError as failure:
        raise UsageError(f"{out} cannot be written: {(failure.strerror or '').lower()}") from None
    finally:
        unfinished.unlink(missing_ok=True)
