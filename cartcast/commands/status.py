"""`cartcast status`: who reads what, how far behind, and how old the table is."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    BootstrapServers,
    JsonLine,
    TopicPrefix,
    given,
    settings_of,
)
from service.errors import CartcastError

if TYPE_CHECKING:
    from rich.console import Group

    from cartcast.pipeline_state import GroupState
    from service.clickhouse_settings import ClickHouseSettings


def status(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two pictures.")] = 2.0,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: JsonLine = False,
) -> None:
    """Show who reads each partition, how far behind, and how old the table is, live until Ctrl-C.

    One picture, with --once or --json, or where no terminal shows it, exits with 1 if something is wrong, as
    `cartcast doctor` does.

    Example: cartcast status --once
    """
    settings = settings_of(context, kafka=given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix))
    from cartcast.pipeline_state import PipelineGroups
    from service.kafka import require_access

    client_config = settings.kafka.client_config()
    require_access(client_config)
    recommends = bool(settings.recommendations.types)
    groups = PipelineGroups(client_config, settings.kafka.topics, recommends=recommends)
    with closing(groups):
        if once or as_json or not sys.stdout.isatty():  # a live picture is for who looks at it
            states, table = groups.read(), _table(settings.clickhouse)
            _print(states, table, as_json=as_json)
            if any(state.problems() for state in states):
                raise typer.Exit(1)
            return
        try:
            _watch(groups.read, settings.clickhouse, every)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _watch(read: Any, clickhouse: "ClickHouseSettings", every: float) -> None:  # noqa: ANN401 - of one caller
    from rich.live import Live

    with Live(auto_refresh=False, screen=False) as live:
        while True:
            try:
                live.update(_picture(read(), _table(clickhouse)), refresh=True)
            except CartcastError as failure:
                live.update(f"{time.strftime('%X')}  {failure}", refresh=True)
            time.sleep(every)


def _table(clickhouse: "ClickHouseSettings") -> str:
    from cartcast.pipeline_state import table_age_seconds

    try:
        age = table_age_seconds(clickhouse)
    except CartcastError as failure:
        return str(failure)
    except ModuleNotFoundError:
        return "not part of this installation"
    return "no row yet" if age is None else f"the newest row was stored {age:,.0f} s ago"


def _print(states: "Sequence[GroupState]", table: str, *, as_json: bool) -> None:
    if as_json:
        found = [asdict(state) | {"lag": state.lag, "problems": state.problems()} for state in states]
        print(json.dumps({"groups": found, "table": table}))
        return
    from rich.console import Console

    Console().print(_picture(states, table))


def _picture(states: "Sequence[GroupState]", table: str) -> "Group":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False)
    for column in ("reader", "partition", "owner", "committed", "end", "lag"):
        rows.add_column(column, justify="left" if column in {"reader", "owner"} else "right", overflow="fold")
    for state in states:
        for each in state.partitions:
            committed = "-" if each.committed < 0 else str(each.committed)
            place = (Text(state.reader.name), str(each.partition), Text(each.owner or "-"))
            rows.add_row(*place, committed, str(each.end_offset), str(each.lag))
    lines = [Text(f"{state.reader.name}: {state.as_line()}") for state in states]
    problems = [Text(f"{state.reader.name}: {what}", "bold red") for state in states for what in state.problems()]
    return Group(rows, "", *lines, Text(f"table: {table}"), *problems)
