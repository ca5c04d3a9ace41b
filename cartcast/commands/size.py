"""`cartcast size`: how large a pipeline must be, with the arithmetic."""

import json
from typing import Annotated

import typer

from cartcast.commands.shared.options import JsonLine
from cartcast.sizing.coefficients import Coefficients, load_coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.plan import Line, plan
from cartcast.sizing.plan import size as bytes_in_words


def size(
    events_per_second: Annotated[float, typer.Option(help="Events a second at the busiest time, up to ten million.")],
    users: Annotated[float, typer.Option(help="Different shoppers whose states are kept.")],
    horizon_days: Annotated[float, typer.Option(help="Days that rows stay in the ClickHouse table.")],
    headroom: Annotated[float, typer.Option(help="What there is, over what is needed.")] = 1.5,
    replication_factor: Annotated[float, typer.Option(help="Copies of every Kafka partition.")] = 3,
    table_copies: Annotated[float, typer.Option(help="Copies of every row in ClickHouse.")] = 2,
    retention_hours: Annotated[float, typer.Option(help="Hours that events and scores stay on their topics.")] = 72,
    worker_memory_gib: Annotated[float, typer.Option(help="Memory that one worker may take, GiB.")] = 8,
    as_json: JsonLine = False,
) -> None:
    """Say how many partitions, workers and sinks, and how much memory, disk and network, a shop needs.

    The coefficients were measured by a benchmark, on the machine that the first line names.

    Example: cartcast size --events-per-second 10000 --users 5000000 --horizon-days 30
    """
    demand = Demand(
        events_per_second=events_per_second,
        users=users,
        horizon_days=horizon_days,
        headroom=headroom,
        replication_factor=replication_factor,
        table_copies=table_copies,
        retention_hours=retention_hours,
        worker_memory_gib=worker_memory_gib,
    )
    measured = load_coefficients()
    lines = plan(demand, measured)
    print(as_text(lines, measured), end="")
    if as_json:
        print(json.dumps(as_json_object(lines)))


def as_text(lines: list[Line], measured: Coefficients) -> str:
    """Return a line a number: its name, its value, and how it came about."""
    rows = [(line.name.replace("_", " "), _value(line), line.arithmetic) for line in lines]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    head = f"measured on {measured.machine}, {measured.date}; one core is one of those\n"
    return head + "".join(f"{name:<{names}}  {value:>{values}}  = {sums}\n" for name, value, sums in rows)


def as_json_object(lines: list[Line]) -> dict[str, float]:
    """Return the numbers by name; the unit is in the name where it is not a count."""
    return {f"{line.name}{_SUFFIXES.get(line.unit, '')}": line.value for line in lines}


_SUFFIXES = {"bytes": "_bytes", "bytes/s": "_bytes_per_second", "seconds": "_seconds", "records/s": "_per_second"}


def _value(line: Line) -> str:
    if line.unit == "bytes":
        return bytes_in_words(line.value)
    if line.unit == "bytes/s":
        return f"{bytes_in_words(line.value)}/s"
    if line.unit in ("cores", "seconds"):
        return f"{line.value:,.1f} {line.unit}"
    return f"{line.value:,.0f} {line.unit}"
