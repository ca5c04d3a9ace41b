"""An explanation in a terminal: the shopper's events, and a bar for how far each moved the propensity."""

import datetime
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cartcast.commands.shared.explanation_source import Explained
from streams.lookups.answers import Attribution

HALF_BAR_CELLS: Final = 8
_LONGEST_NAME: Final = 60
_RAISED, _LOWERED = "green", "red"


def draw(explained: Explained, horizon: str) -> RenderableType:
    """Return what to print about one horizon of an explanation."""
    answer = explained.answer
    title = Text.assemble(
        ("Shopper ", "bold"),
        (_printable(answer.user_id), "bold"),
        f", after {answer.event.type} of {_time(answer.event.event_time)} UTC",
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("event", no_wrap=True)
    if explained.items:
        table.add_column("item", overflow="ellipsis", no_wrap=True, max_width=16)
    table.add_column("moved it by", justify="right", no_wrap=True)
    table.add_column("lower | higher", no_wrap=True)
    largest = max((abs(event.contribution[horizon] or 0.0) for event in answer.events), default=0.0)
    for event in answer.events:
        item = [Text(_printable(explained.items.get(event.event_hash, "")))] if explained.items else []
        table.add_row(_time(event.event_time), event.type, *item, *_moved(event, horizon, largest))
    return Group(title, *_summary(explained, horizon), table)


def _summary(explained: Explained, horizon: str) -> list[Text]:
    answer = explained.answer
    known = answer.propensity
    published = "not known to the worker" if known is None else f"{known[horizon]:.4f}"
    if known is None and explained.source == "clickhouse":
        published = "another model's"
    older = f"; {answer.earlier_events:,} older ones are not among them" if answer.earlier_events else ""
    count = f"{len(answer.events)} stored events" if len(answer.events) > 1 else "only stored event"
    return [
        Text(f"Propensity {horizon}, model {answer.model}: published {published}"),
        Text(f"From the {count} alone: {answer.from_ring[horizon]:.4f}{older}"),
    ]


def _moved(event: Attribution, horizon: str, largest: float) -> tuple[Text, Text]:
    moved = event.contribution[horizon]
    if moved is None:
        return Text("-"), Text("nothing is left without it", style="dim")
    style = _RAISED if moved > 0 else _LOWERED
    cells = round(HALF_BAR_CELLS * abs(moved) / largest) if largest else 0
    left, right = ("", "█" * cells) if moved > 0 else ("█" * cells, "")
    bar = Text.assemble((left.rjust(HALF_BAR_CELLS), _LOWERED), ("│", "dim"), (right.ljust(HALF_BAR_CELLS), _RAISED))
    return Text(f"{moved:+.4f}", style=style if cells else "dim"), bar


def _time(milliseconds: int) -> str:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _printable(name: str) -> str:
    """Return a name that cannot move the cursor or recolour the terminal, cut to what a line can hold."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"
