"""The `cartcast` command: assembles the command groups and turns failures into one line and an exit code."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import cartcast
from cartcast.commands import (
    config,
    dashboard,
    dead_letters,
    demo,
    doctor,
    evaluate,
    explain,
    inspect,
    migrate,
    replay,
    score,
    simulate,
    sink,
    size,
    topics,
    train,
    up,
    worker,
)
from cartcast.extras import missing_extra
from service.errors import CartcastError, UsageError
from service.logging import leave_failures_to_callers

app = typer.Typer(
    name="cartcast",
    help="The probability that a shopper buys, scored at every event of a stream.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cartcast {cartcast.__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings (see also CARTCAST_CONFIG).")] = None,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep what every command shares."""
    leave_failures_to_callers()
    context.obj = config


app.command(name="demo")(demo.demo)
app.command(name="up")(up.up)
app.add_typer(topics.app, name="topics")
app.command(name="migrate")(migrate.migrate)
app.command(name="worker")(worker.worker)
app.command(name="sink")(sink.sink)
app.command(name="dashboard")(dashboard.dashboard)
app.command(name="replay")(replay.replay)
app.add_typer(dead_letters.app, name="dead-letters")
app.command(name="simulate")(simulate.simulate)
app.command(name="train")(train.train)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="score")(score.score)
app.command(name="explain")(explain.explain)
app.command(name="inspect")(inspect.inspect)
app.command(name="size")(size.size_command)
app.command(name="doctor")(doctor.doctor)
app.add_typer(config.app, name="config")


def main() -> None:
    """Run the command: 0 done, 1 failed, 2 wrong usage."""
    try:
        app()
    except UsageError as failure:
        print(f"cartcast: {failure}", file=sys.stderr)
        sys.exit(2)
    except CartcastError as failure:
        print(f"cartcast: {failure}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as missing:
        line = missing_extra(missing, sys.argv[1:])
        if line is None:
            raise
        print(f"cartcast: {line}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
