"""Charts of the page Model."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

PSI_WATCH: Final = 0.1
PSI_ALARM: Final = 0.25
"""Siddiqi, Credit Risk Scorecards (2006): below .1 no change, above .25 a large one."""


HOUR: Final = timedelta(hours=1)
MANY_HOURS: Final = 60
"""From so many hours on a line needs no points."""


def share_curve(rows: Sequence[Row], x: str, y: str, titles: tuple[str, str], chance: Sequence[Row]) -> AnyChart:
    """Return a curve of shares over shares (ROC, PR, gain) beside what chance gives, whose rows have `x` and `y`."""
    dashed = (
        alt.Chart(theme.data(chance), height=theme.HEIGHT)
        .mark_line(strokeDash=[4, 4], color=theme.MUTED)
        .encode(x=alt.X("x:Q", scale=alt.Scale(domain=[0, 1])), y=alt.Y("y:Q", scale=alt.Scale(domain=[0, 1])))
    )
    ordered = sorted(rows, key=lambda row: row["threshold"])
    line = (
        alt.Chart(theme.data(ordered))
        .mark_line(color=theme.ACCENT, strokeWidth=2)
        .encode(
            x=alt.X(f"{x}:Q", title=titles[0], axis=alt.Axis(format="~%", tickCount=5)),
            y=alt.Y(f"{y}:Q", title=titles[1], axis=alt.Axis(format="~%", tickCount=5)),
            order="threshold:Q",
            tooltip=[
                alt.Tooltip("threshold:Q", title="Threshold", format=".3f"),
                alt.Tooltip("share:Q", title="Share of scores above", format=".1%"),
                alt.Tooltip("recall:Q", title="Recall", format=".1%"),
                alt.Tooltip("precision:Q", title="Precision", format=".1%"),
                alt.Tooltip("false_positive_rate:Q", title="False positives", format=".1%"),
            ],
        )
    )
    return dashed + line


def metric_over_time(rows: Sequence[Row], name: str, title: str, rules: dict[float, str] | None = None) -> AnyChart:
    """Line: `hour` by one metric, with dashed lines at some heights; hours without a value are gaps."""
    tips: list[Any] = [
        theme.time_tip("hour", "Hour"),
        alt.Tooltip(f"{name}:Q", title=title, format=".3f"),
        alt.Tooltip("scores:Q", title="Scores", format=","),
    ]
    shown = theme.with_gaps(rows, HOUR, name="hour")
    line = (
        alt.Chart(theme.data(shown), height=theme.HEIGHT)
        .mark_line(color=theme.ACCENT, point={"size": 25, "color": theme.ACCENT} if len(rows) < MANY_HOURS else False)
        .encode(x=theme.time_axis("hour"), y=alt.Y(f"{name}:Q", title=title, scale=alt.Scale(zero=False)), tooltip=tips)
    )
    if not rules:
        return line
    marks = (
        alt.Chart(theme.data([{"y": height, "color": color} for height, color in rules.items()]))
        .mark_rule(strokeDash=[4, 4])
        .encode(y="y:Q", color=alt.Color("color:N", scale=None))
    )
    return line + marks


def said_and_did(rows: Sequence[Row]) -> AnyChart:
    """Lines: `hour` by `mean_propensity` and `base_rate`."""
    named = {"mean_propensity": "said", "base_rate": "did buy"}
    long = [{"hour": row["hour"], "what": words, "share": row[name]} for row in rows for name, words in named.items()]
    palette = {"said": theme.ACCENT, "did buy": theme.MUTED}
    return (
        alt.Chart(theme.data(theme.with_gaps(long, HOUR, "what", name="hour")), height=theme.HEIGHT)
        .mark_line(strokeWidth=2, point=len(rows) < 3)
        .encode(
            x=theme.time_axis("hour"),
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format=theme.PERCENT, tickCount=4)),
            color=theme.colors(palette, "what", list(palette)),
            tooltip=[
                theme.time_tip("hour", "Hour"),
                alt.Tooltip("what:N", title=" "),
                alt.Tooltip("share:Q", title="Share", format=".2%"),
            ],
        )
    )


def distribution(rows: Sequence[Row]) -> AnyChart:
    """Return steps: share of scores in each of twenty bins, one line a model version."""
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["model"]] = totals.get(row["model"], 0) + row["scores"]
    shares = [{**row, "share": row["scores"] / totals[row["model"]]} for row in rows]
    return (
        alt.Chart(theme.data(shares), height=theme.HEIGHT)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("lower:Q", title="propensity", axis=alt.Axis(format=theme.PERCENT, tickCount=6)),
            y=alt.Y(
                "share:Q",
                title="share of scores",
                scale=alt.Scale(type="sqrt"),
                axis=alt.Axis(format=theme.PERCENT, tickCount=5),
            ),
            color=theme.series("model", [row["model"] for row in rows]),
            tooltip=[
                alt.Tooltip("model:N", title="Model"),
                alt.Tooltip("lower:Q", title="From", format=".0%"),
                alt.Tooltip("upper:Q", title="To", format=".0%"),
                alt.Tooltip("scores:Q", title="Scores", format=","),
                alt.Tooltip("share:Q", title="Share", format=".2%"),
            ],
        )
    )


def click_rates(rows: Sequence[Row]) -> AnyChart:
    """Lines: `position` by `ctr` with its margin, one of each `shown_by`."""
    ends = [
        {**row, "low": max(row["ctr"] - row["ctr_margin"], 0), "high": row["ctr"] + row["ctr_margin"]} for row in rows
    ]
    base = alt.Chart(theme.data(ends), height=theme.HEIGHT).encode(
        x=alt.X(
            "position:Q",
            title="position in the list",
            scale=alt.Scale(zero=False, nice=False, padding=8),
            axis=alt.Axis(format="d", tickMinStep=1, grid=False),
        ),
        color=theme.series("shown_by", [row["shown_by"] for row in rows]),
    )
    interval = base.mark_rule(opacity=0.6).encode(
        y=alt.Y("low:Q", title="click-through rate", axis=alt.Axis(format=theme.PERCENT)), y2="high:Q"
    )
    points = base.mark_line(strokeWidth=2, point={"size": 35}).encode(
        y="ctr:Q",
        tooltip=[
            alt.Tooltip("shown_by:N", title="List by"),
            alt.Tooltip("position:Q", title="Position"),
            alt.Tooltip("ctr:Q", title="CTR", format=".2%"),
            alt.Tooltip("low:Q", title="From", format=".2%"),
            alt.Tooltip("high:Q", title="To", format=".2%"),
            alt.Tooltip("shown:Q", title="Shown", format=","),
            alt.Tooltip("clicks:Q", title="Clicks", format=","),
        ],
    )
    return interval + points
