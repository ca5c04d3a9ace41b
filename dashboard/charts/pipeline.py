"""Charts of the page Pipeline."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

DELAYS: Final = {
    "event_to_score_p50_ms": ("to the score, p50", "#12a08c"),
    "event_to_score_p99_ms": ("to the score, p99", "#0b6b5e"),
    "event_to_row_p50_ms": ("to the row, p50", "#b39cf0"),
    "event_to_row_p99_ms": ("to the row, p99", "#7a5bd6"),
}


def throughput(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Bars: `time` and `stored` rows, as rows a minute."""
    minutes = step.total_seconds() / 60
    rates = [{**row, "rate": row["stored"] / minutes} for row in rows]
    return (
        alt.Chart(theme.data(theme.with_ends(rates, step)), height=theme.HEIGHT)
        .mark_bar(orient="vertical", color=theme.ACCENT)
        .encode(
            **theme.time_bars(),
            y=alt.Y("rate:Q", title="rows a minute", axis=alt.Axis(format="~s")),
            tooltip=[
                theme.time_tip(),
                alt.Tooltip("rate:Q", title="Rows a minute", format=",.0f"),
                alt.Tooltip("stored:Q", title="Rows", format=","),
            ],
        )
    )


def delays(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Lines of the four delays over `time`, on a logarithmic scale; they break where nothing was scored."""
    long = [
        {"time": row["time"], "delay": words, "milliseconds": max(row[name], 1)}
        for row in rows
        for name, (words, _) in DELAYS.items()
        if row[name] is not None
    ]
    palette, shown = dict(DELAYS.values()), theme.with_gaps(long, step, "delay")
    return (
        alt.Chart(theme.data(shown), height=theme.HEIGHT + 18)
        .mark_line(strokeWidth=2, point=len(rows) < 3 or len(shown) > len(long))
        .encode(
            x=theme.time_axis(),
            y=alt.Y(
                "milliseconds:Q",
                title="milliseconds",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~s", tickCount=5),
            ),
            color=alt.Color(
                "delay:N",
                scale=alt.Scale(domain=list(palette), range=list(palette.values())),
                legend=alt.Legend(**theme.LEGEND),
            ),
            tooltip=[
                theme.time_tip(),
                alt.Tooltip("delay:N", title="From the event's record"),
                alt.Tooltip("milliseconds:Q", title="Milliseconds", format=",.0f"),
            ],
        )
    )


def lag(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Lines: `time` and `lag` of each consumer group; they break where no sink took samples."""
    shown = theme.with_gaps(rows, step, "consumer_group")
    return (
        alt.Chart(theme.data(shown), height=theme.HEIGHT)
        .mark_line(strokeWidth=2, point=len(rows) < 5 or len(shown) > len(rows))
        .encode(
            x=theme.time_axis(),
            y=alt.Y("lag:Q", title="records behind", axis=alt.Axis(format="~s")),
            color=theme.series("consumer_group", [row["consumer_group"] for row in rows]),
            tooltip=[
                theme.time_tip(),
                alt.Tooltip("consumer_group:N", title="Consumer group"),
                alt.Tooltip("lag:Q", title="Records behind", format=","),
            ],
        )
    )


def dead_letters(rows: Sequence[Row], step: timedelta) -> AnyChart:
    """Stacked bars: `time`, `reason`, `dead_letters`."""
    return (
        alt.Chart(theme.data(theme.with_ends(rows, step)), height=theme.HEIGHT)
        .mark_bar(orient="vertical")
        .encode(
            **theme.time_bars(),
            y=alt.Y("dead_letters:Q", title="dead letters", stack="zero", axis=alt.Axis(tickMinStep=1)),
            color=theme.series("reason", sorted({row["reason"] for row in rows})),
            tooltip=[
                theme.time_tip(),
                alt.Tooltip("reason:N", title="Reason"),
                alt.Tooltip("dead_letters:Q", title="Dead letters", format=","),
            ],
        )
    )
