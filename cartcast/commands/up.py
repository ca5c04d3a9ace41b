"""`cartcast up`: the local stack in the foreground."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.local.signals import StopRequested, stop_signals_raise

if TYPE_CHECKING:
    from cartcast.local.stack import LocalStack

WATCH_SECONDS = 0.2


def up(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where Kafka and ClickHouse keep their data.", metavar="DIRECTORY")
    ] = Path(".cartcast"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as one JSON object.")] = False,
) -> None:
    """Run a real Kafka and the real ClickHouse engine on this machine until Ctrl-C.

    Takes the usual ports (9092, 8123) if they are free, else others, on loopback only; prints the settings to use.

    Example: cartcast up --dir /tmp/shop
    """
    from cartcast.local.stack import local_stack

    try:
        with stop_signals_raise(), local_stack(directory, _report, engine_gives_way=True) as stack:
            print(_as_json(stack) if as_json else _as_exports(stack), flush=True)
            _report("ready; Ctrl-C stops both")
            while True:
                stack.children.check()
                time.sleep(WATCH_SECONDS)
    except StopRequested:
        _report("stopped")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _as_exports(stack: "LocalStack") -> str:
    return "\n".join(f"export {name}={value}" for name, value in stack.environment().items())


def _as_json(stack: "LocalStack") -> str:
    return json.dumps(
        {
            "bootstrap_servers": stack.bootstrap_servers,
            "clickhouse_url": stack.clickhouse_url,
            "environment": stack.environment(),
        }
    )
