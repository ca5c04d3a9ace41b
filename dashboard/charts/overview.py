"""Charts of the page Overview."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

ROW_HEIGHT: Final = 34


def events(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Stacked bars: `time`, `event_type`, `events`."""
    present = [row["event_type"] for row in rows]
    return (
        alt.Chart(theme.data(theme.with_ends(rows, step)), height=theme.height(present))
        .mark_bar(orient="vertical")
        .encode(
            **theme.time_bars(),
            y=alt.Y("events:Q", title="events", stack="zero"),
            color=theme.colors(theme.EVENT_TYPES, "event_type", present),
            tooltip=[
                theme.time_tip(),
                alt.Tooltip("event_type:N", title="Event type"),
                alt.Tooltip("events:Q", title="Events", format=","),
            ],
        )
    )


def purchases(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Bars of purchases alone, of rows as of `events`, and as wide as those: times without a purchase have none."""
    bought = dict.fromkeys((row["time"] for row in rows), 0)
    bought |= {row["time"]: row["events"] for row in rows if row["event_type"] == "purchase"}
    shown = [{"time": time, "events": events} for time, events in bought.items()]
    return (
        alt.Chart(theme.data(theme.with_ends(shown, step)), height=theme.HEIGHT)
        .mark_bar(orient="vertical", color=theme.EVENT_TYPES["purchase"])
        .encode(
            **theme.time_bars(),
            y=alt.Y("events:Q", title="purchases", axis=alt.Axis(tickMinStep=1)),
            tooltip=[theme.time_tip(), alt.Tooltip("events:Q", title="Purchases", format=",")],
        )
    )


def propensity(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Lines: `time` and the mean `propensity_<horizon>` of each horizon; they break where nothing happened."""
    long = [
        {"time": row["time"], "horizon": horizon, "propensity": row[f"propensity_{horizon}"]}
        for row in rows
        for horizon in theme.HORIZONS
        if row[f"propensity_{horizon}"] is not None
    ]
    shown = theme.with_gaps(long, step, "horizon")
    return (
        alt.Chart(theme.data(shown), height=theme.HEIGHT)
        .mark_line(strokeWidth=2, point=len(rows) < 3 or len(shown) > len(long))
        .encode(
            x=theme.time_axis(),
            y=alt.Y("propensity:Q", title="mean propensity", axis=alt.Axis(format=theme.PERCENT)),
            color=theme.colors(theme.HORIZONS, "horizon", list(theme.HORIZONS)),
            # session and 1h lie on each other: the lower one is wider
            strokeWidth=alt.StrokeWidth(
                "horizon:N", scale=alt.Scale(domain=list(theme.HORIZONS), range=[5, 2, 2]), legend=None
            ),
            tooltip=[
                theme.time_tip(),
                alt.Tooltip("horizon:N", title="Horizon"),
                alt.Tooltip("propensity:Q", title="Mean propensity", format=".2%"),
            ],
        )
    )


def propensity_by(rows: Sequence[Row], horizon: str, title: str) -> AnyChart:
    """Bars: `name` and the mean propensity of one horizon, the highest first."""
    field = f"propensity_{horizon}"
    return (
        alt.Chart(theme.data([row for row in rows if row[field] is not None]), height=alt.Step(ROW_HEIGHT - 8))
        .mark_bar(color=theme.HORIZONS[horizon], cornerRadiusEnd=3)
        .encode(
            y=alt.Y("name:N", sort="-x", title=None, axis=alt.Axis(labelLimit=120)),
            x=alt.X(f"{field}:Q", title="mean propensity", axis=alt.Axis(format=theme.PERCENT, tickCount=4)),
            tooltip=[
                alt.Tooltip("name:N", title=title),
                alt.Tooltip(f"{field}:Q", title="Mean propensity", format=".2%"),
                alt.Tooltip("events:Q", title="Events", format=","),
            ],
        )
    )
