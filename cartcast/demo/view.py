"""The demo in a terminal: one picture of the pipeline, drawn from a snapshot."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from rich import box
from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cartcast.demo.delays import DelaySummary

WIDTH: Final = 120
"""Of the picture; a narrower terminal gets what fits."""
SHOWN_BUYERS: Final = 10
SPARK: Final = " ▁▂▃▄▅▆▇█"
BAR_CELLS: Final = 8
_LEAST_WIDTH: Final = 100
"""Of the buyers with all horizons; in less there is only the longest."""
TRACK_STYLE: Final = "grey27"
TYPE_STYLES: Final = {"purchase": "bold green", "checkout": "yellow", "cart": "yellow", "favorite": "magenta"}


@dataclass(frozen=True)
class Buyer:
    """One shopper's newest score, and how the chance of a purchase within 24 hours changed at it."""

    user_id: str
    propensity_24h: float
    propensity_1h: float
    propensity_session: float
    change_24h: float
    event_type: str
    next_item: str = ""
    """What is likeliest bought next; empty as long as nobody has said it."""


@dataclass(frozen=True)
class Snapshot:
    """What the demo knows at one moment."""

    elapsed_seconds: float
    events: int
    scores: int
    rows: int
    duplicates: int
    dead_letters: int
    delay: DelaySummary | None = None
    total_events: int | None = None
    event_rates: Sequence[float] = ()
    score_rates: Sequence[float] = ()
    row_rates: Sequence[float] = ()
    buyers: Sequence[Buyer] = field(default_factory=tuple)
    where: str = ""
    note: str = ""


def draw(now: Snapshot) -> RenderableType:
    """Return the picture."""
    return Panel(
        Group(_pipeline(now), Text(), _facts(now), Text(), _Buyers(now.buyers)),
        title="[bold white]cartcast[/] · the probability that a shopper buys, at every event",
        subtitle=f"[bold green]{now.note}[/]" if now.note else f"[dim]{now.where}[/]",
        box=box.ROUNDED,
        border_style="cyan",
        width=WIDTH,
        padding=(1, 2),
    )


_REMOTE_FONT: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""rich's SVG asks another server for its font; the reader's own monospace font does."""


def save_picture(now: Snapshot, path: Path, command: str) -> None:
    """Write the picture as SVG, in a terminal's frame that shows the command. Raises OSError."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(draw(now))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_REMOTE_FONT.sub("", console.export_svg(title=command)), encoding="utf-8")


def _pipeline(now: Snapshot) -> RenderableType:
    stages = Table.grid(expand=True)
    for ratio in (8, 1, 8, 1, 8):
        stages.add_column(ratio=ratio, justify="center")
    total = f" of {now.total_events:,}" if now.total_events and now.events < now.total_events else ""
    arrow = Align.center(Text("\n\n━▶", style="cyan"))
    stages.add_row(
        _stage("shoppers ▸ Kafka", f"{now.events:,}{total}", "events", now.event_rates),
        arrow,
        _stage("Faust worker ▸ LSTM", f"{now.scores:,}", "scores", now.score_rates),
        arrow,
        _stage("ClickHouse", f"{now.rows:,}", "rows", now.row_rates),
    )
    return stages


def _stage(title: str, count: str, unit: str, rates: Sequence[float]) -> RenderableType:
    rate = f"{rates[-1]:,.0f}/s" if rates else ""
    body = Group(
        Align.center(Text.assemble((count, "bold white"), (f" {unit}", "dim"))),
        Align.center(Text(sparkline(rates, 24), style="cyan")),
        Align.center(Text(rate, style="green")),
    )
    return Panel(body, title=title, box=box.ROUNDED, border_style="dim")


def _facts(now: Snapshot) -> RenderableType:
    words = Text(justify="center")
    words.append("event to score  ", "dim")
    if now.delay is None:
        words.append("waiting", "dim")
    else:
        words.append(f"p50 {now.delay.p50_ms:,.0f} ms", "bold")
        words.append(f"  p99 {now.delay.p99_ms:,.0f} ms", "bold")
    for count, label in ((now.duplicates, "duplicates skipped"), (now.dead_letters, "dead letters")):
        words.append("  ·  ", "dim")
        words.append(f"{count:,}", "bold")
        words.append(f" {label}", "dim")
    words.append(f"  ·  {now.elapsed_seconds:,.1f} s", "dim")
    return words


@dataclass(frozen=True)
class _Buyers:
    """Their table, as wide as there is room."""

    buyers: Sequence[Buyer]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        is_narrow = options.max_width < _LEAST_WIDTH
        table = Table(
            box=box.SIMPLE_HEAD,
            expand=True,
            title="likeliest buyers right now",
            title_style="bold",
            header_style="dim",
            pad_edge=False,
        )
        table.add_column("shopper", no_wrap=True)
        for horizon in ("within 24 h", "within 1 h", "this session")[: 1 if is_narrow else None]:
            table.add_column(horizon, no_wrap=True)
        table.add_column("last did", no_wrap=True)
        table.add_column("next item", no_wrap=True, overflow="ellipsis", ratio=1)
        for buyer in self.buyers:
            shopper, longest, *others = _row(buyer)
            table.add_row(shopper, longest, *others[2 if is_narrow else 0 :])
        yield table


def _row(buyer: Buyer) -> tuple[RenderableType, ...]:
    return (
        buyer.user_id,
        _chance(buyer.propensity_24h) + _trend(buyer.change_24h),
        _chance(buyer.propensity_1h),
        _chance(buyer.propensity_session),
        Text(buyer.event_type, TYPE_STYLES.get(buyer.event_type, "")),
        Text(buyer.next_item, "cyan"),
    )


def _chance(probability: float) -> Text:
    if math.isnan(probability):
        return Text("-", "dim")
    style = "bold green" if probability >= 0.5 else "yellow" if probability >= 0.2 else "blue"
    filled, rest = bar(probability, BAR_CELLS)
    return Text.assemble((filled, style), (rest, TRACK_STYLE), f" {probability:4.0%}")


def _trend(change: float) -> Text:
    if abs(change) < 0.005:
        return Text("  ")
    return Text(" ▲", style="green") if change > 0 else Text(" ▼", style="red")


def bar(fraction: float, cells: int) -> tuple[str, str]:
    """Return the filled part of a bar, exact to half a cell, and the rest; `cells` characters together."""
    full, half = divmod(round(min(max(fraction, 0.0), 1.0) * cells * 2), 2)
    filled = "━" * full + "╸" * half
    return filled, "━" * (cells - len(filled))


def sparkline(values: Sequence[float], cells: int) -> str:
    """Return the last `cells` values as columns, the highest of them full."""
    shown = list(values)[-cells:]
    highest = max(shown, default=0.0) or 1.0
    return "".join(SPARK[round(value / highest * 8)] for value in shown).ljust(cells)
