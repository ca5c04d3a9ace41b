"""What all charts share: colours, axes of time, how rows become data.

Vega knows UTC and the time zone of the reader, not that of the shop: it is given what the shop's clocks show as if it
were UTC.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import altair as alt

from dashboard import config
from dashboard.annotations import Annotation
from dashboard.clickhouse import Row

AnyChart: TypeAlias = Any
"""`alt.Chart` or `alt.LayerChart`; Altair's own methods say no more than Any."""

EVENT_TYPES: Final = {
    "view": "#8aa0b8",
    "search": "#5b9bd5",
    "favorite": "#e87ab0",
    "cart": "#f0a020",
    "remove_from_cart": "#b0703a",
    "checkout": "#9b7fe6",
    "purchase": "#12a87b",
    "review": "#3fb8c9",
    "refund": "#e05252",
    "other": "#a5a5a5",
}
HORIZONS: Final = {"session": "#5b9bd5", "1h": "#9b7fe6", "24h": "#12a08c"}
SEGMENTS: Final = {"high": "#12a87b", "medium": "#f0a020", "low": "#8aa0b8"}
SERIES: Final = ("#12a08c", "#9b7fe6", "#f0a020", "#5b9bd5", "#e87ab0", "#b0703a", "#3fb8c9", "#a5a5a5")
ACCENT: Final = "#12a08c"
MUTED: Final = "#8aa0b8"
TEXT: Final = "#6b7f95"
"""Legible on light and on dark."""
WARNING: Final = "#f0a020"
ALARM: Final = "#e05252"

HEIGHT: Final = 260
LEGEND_COLUMNS: Final = 2
LEGEND: Final[Any] = {
    "orient": "bottom",
    "title": None,
    "columns": LEGEND_COLUMNS,
    "symbolType": "circle",
    "labelLimit": 115,
    "offset": 6,
    "rowPadding": 2,
}
_SHORT_NAME: Final = 16
"""Characters that fit beside another name."""
_TIME_FORMAT: Final[Any] = {
    "seconds": "%H:%M:%S",
    "minutes": "%H:%M",
    "hours": "%H:%M",
    "day": "%a %d %b",
    "date": "%a %d %b",
    "week": "%d %b",
    "month": "%b %Y",
    "year": "%Y",
}
PERCENT: Final = ".1~%"


def data(rows: Sequence[Row]) -> alt.InlineData:
    """Return rows as Vega takes them: times as milliseconds of the shop's clocks, texts as texts."""
    return alt.InlineData(values=[{name: _plain(value) for name, value in row.items()} for row in rows])


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return wall_clock_ms(value)
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def wall_clock_ms(when: datetime) -> int:
    """Return what the shop's clocks show at a time, as the epoch milliseconds at which clocks in UTC do."""
    return int(config.in_zone(when).replace(tzinfo=UTC).timestamp() * 1000)


def time_axis(name: str = "time", domain: tuple[datetime, datetime] | None = None) -> alt.X:
    """Return the x axis of a time."""
    scale: dict[str, Any] = {"type": "utc"}
    if domain:
        scale["domain"] = [wall_clock_ms(end) for end in domain]
    axis = alt.Axis(labelOverlap=True, grid=False, tickCount=6, format=_TIME_FORMAT)
    return alt.X(f"{name}:T", title=None, scale=alt.Scale(**scale), axis=axis)


def height(present: Iterable[str] = ()) -> int:
    """Return the height of a chart whose legend names these: its picture is as high as its neighbour's."""
    rows = -(-len(set(present)) // LEGEND_COLUMNS)
    return HEIGHT + 18 * max(0, rows - 1)


def time_bars(name: str = "time") -> dict[str, Any]:
    """Return the x channels of bars as wide as their step; see `with_ends`."""
    return {"x": time_axis(name), "x2": alt.X2("end:T")}


_GAP_STEPS: Final = 5


def with_ends(rows: Sequence[Row], step: timedelta, name: str = "time") -> list[Row]:
    """Add where each step ends, a little early, so that bars stand apart."""
    return [{**row, "end": row[name] + step * 0.9} for row in rows]


def with_gaps(rows: Sequence[Row], step: timedelta, series: str = "", name: str = "time") -> list[Row]:
    """Add a row without values where a series has none for _GAP_STEPS: a line breaks there, and bridges nothing.

    `rows` are in order of their time, the field `name`; `series` is the field that tells the lines apart.
    """
    found, last = list[Row](), dict[object, datetime]()
    for row in rows:
        line = row.get(series)
        before = last.get(line)
        if before is not None and row[name] - before > _GAP_STEPS * step:
            found.append({name: before + step} | ({series: line} if series else {}))
        found.append(row)
        last[line] = row[name]
    return found


def annotated(chart: AnyChart, annotations: Sequence[Annotation], name: str = "time") -> AnyChart:
    """Draw what happened over a chart whose x axis is the time `name`."""
    if not annotations:
        return chart
    rows = [{name: each.time, "happened": each.text} for each in annotations]
    base = alt.Chart(data(rows)).encode(
        x=alt.X(f"{name}:T", scale=alt.Scale(type="utc")),
        tooltip=[time_tip(name), alt.Tooltip("happened:N", title="Happened")],
    )
    texts = base.mark_text(align="left", dx=4, dy=8, baseline="top", color=TEXT, fontSize=11, limit=110).encode(
        y=alt.value(0), text="happened:N"
    )
    return chart + base.mark_rule(color=TEXT, strokeDash=[2, 3], strokeWidth=1.5) + texts


def time_tip(name: str = "time", title: str = "Time") -> alt.Tooltip:
    """Return a time's line of a tooltip."""
    return alt.Tooltip(f"{name}:T", title=title, timeUnit="utcyearmonthdatehoursminutes")


def colors(palette: dict[str, str], field: str, present: Sequence[str]) -> alt.Color:
    """Colour by a field whose values have fixed colours; the legend names only those that are there."""
    named = [name for name in palette if name in present]
    others = sorted(set(present) - set(palette))
    domain = [*named, *others]
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=domain, range=[palette.get(name, palette.get("other", MUTED)) for name in domain]),
        legend=alt.Legend(**LEGEND),
    )


def series(field: str, present: Sequence[str]) -> alt.Color:
    """Colour by a field whose values nobody knows beforehand."""
    domain = list(dict.fromkeys(present))
    long_names = {"columns": 1, "labelLimit": 260} if max(map(len, domain), default=0) > _SHORT_NAME else {}
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=domain, range=[SERIES[number % len(SERIES)] for number in range(len(domain))]),
        legend=alt.Legend(**LEGEND | long_names),
    )
