"""One shopper's events with the propensity curve over them, and what each event contributed."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

CURVE_HEIGHT: Final = 280
CONTRIBUTIONS_HEIGHT: Final = 150
_Y_AXIS: Final[dict[str, Any]] = {"minExtent": 46, "maxExtent": 46}


def by_order(count: int, title: str | None) -> alt.X:
    """Return the x axis of both charts, so that bars stand under their events."""
    return alt.X(
        "number:Q",
        title=title,
        scale=alt.Scale(domain=[0.3, count + 0.7], nice=False, padding=0),
        axis=alt.Axis(grid=False, format="d", tickMinStep=1),
    )


def curve(rows: Sequence[Row], horizon: str, *, by_time: bool) -> AnyChart:
    """Points of events, `number` or `event_at` by `propensity`, on the line that the propensity takes."""
    present = [row["event_type"] for row in rows]
    x = theme.time_axis("event_at") if by_time else by_order(len(rows), None)
    base = alt.Chart(theme.data(rows), height=CURVE_HEIGHT + theme.height(present) - theme.HEIGHT).encode(
        x=x,
        y=alt.Y(
            "propensity:Q",
            title=f"propensity, {horizon}",
            scale=alt.Scale(domainMin=0),
            axis=alt.Axis(format=theme.PERCENT, **_Y_AXIS),
        ),
    )
    line = base.mark_line(color=theme.HORIZONS[horizon], interpolate="step-after" if by_time else "linear", opacity=0.7)
    points = base.mark_circle(size=90, opacity=1, stroke="white", strokeWidth=0.8).encode(
        color=theme.colors(theme.EVENT_TYPES, "event_type", present),
        tooltip=[
            theme.time_tip("event_at"),
            alt.Tooltip("event_type:N", title="Event type"),
            alt.Tooltip("item_id:N", title="Item"),
            alt.Tooltip("category:N", title="Category"),
            alt.Tooltip("price:Q", title="Price", format=",.2f"),
            alt.Tooltip("propensity:Q", title="Propensity", format=".2%"),
        ],
    )
    return line + points


def contributions(rows: Sequence[Row], count: int) -> AnyChart:
    """Bars: `number` of the event on the curve's axis and its `contribution`, up or down."""
    return (
        alt.Chart(theme.data(rows), height=CONTRIBUTIONS_HEIGHT)
        .mark_bar(width={"band": 0.8} if count < 3 else max(3, 420 // max(count, 1)))
        .encode(
            x=by_order(count, "event, oldest first"),
            y=alt.Y(
                "contribution:Q",
                title="moved it by",
                axis=alt.Axis(format="+.1~%", tickCount=4, **_Y_AXIS),
            ),
            color=alt.condition("datum.contribution >= 0", alt.value(theme.ACCENT), alt.value(theme.ALARM)),
            tooltip=[
                theme.time_tip("event_at"),
                alt.Tooltip("event_type:N", title="Event type"),
                alt.Tooltip("contribution:Q", title="Moved the propensity by", format="+.2%"),
            ],
        )
    )
