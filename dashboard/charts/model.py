"""Charts of the page Model."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

PSI_WATCH: Final = 0.1
PSI_ALARM: Final = 0.25
"""Siddiqi, Credit Risk Scorecards (2006): below .1 no change, above .25 a large one."""


MANY_HOURS: Final = 60
"""From so many hours on a line needs no points."""
_Y_AXIS: Final[dict[str, Any]] = {"minExtent": 40, "maxExtent": 40}


def calibration(rows: Sequence[Row]) -> AnyChart:
    """Points of bins: `mean_propensity` by `purchase_rate`, as large as `scores`; on the diagonal they are right."""
    top = _top(rows)
    diagonal = (
        alt.Chart(theme.data([{"x": 0, "y": 0}, {"x": top, "y": top}]), height=theme.HEIGHT)
        .mark_line(strokeDash=[4, 4], color=theme.MUTED)
        .encode(x=alt.X("x:Q", scale=_propensities(top)), y="y:Q")
    )
    bins = alt.Chart(theme.data(rows)).encode(
        x=alt.X(
            "mean_propensity:Q",
            title="said: mean propensity of the bin",
            scale=_propensities(top),
            axis=alt.Axis(format=theme.PERCENT, tickCount=6),
        ),
        y=alt.Y("purchase_rate:Q", title="did buy", axis=alt.Axis(format=theme.PERCENT, **_Y_AXIS)),
    )
    points = bins.mark_circle(color=theme.ACCENT, opacity=0.85).encode(
        size=alt.Size("scores:Q", legend=None, scale=alt.Scale(range=[30, 500])),
        tooltip=[
            alt.Tooltip("mean_propensity:Q", title="Propensity", format=".2%"),
            alt.Tooltip("purchase_rate:Q", title="Did buy", format=".2%"),
            alt.Tooltip("scores:Q", title="Scores", format=","),
        ],
    )
    return diagonal + bins.mark_line(color=theme.ACCENT, opacity=0.5) + points


def counts(rows: Sequence[Row]) -> AnyChart:
    """Bars of bins: `mean_propensity`, on the axis of `calibration`, by `scores`."""
    return (
        alt.Chart(theme.data(rows), height=80)
        .mark_bar(color=theme.MUTED, width=8)
        .encode(
            x=alt.X(
                "mean_propensity:Q",
                title=None,
                scale=_propensities(_top(rows)),
                axis=alt.Axis(format=theme.PERCENT, tickCount=6),
            ),
            y=alt.Y(
                "scores:Q",
                title="scores",
                scale=alt.Scale(type="symlog"),
                axis=alt.Axis(format="~s", tickCount=3, **_Y_AXIS),
            ),
            tooltip=[
                alt.Tooltip("mean_propensity:Q", title="Propensity", format=".2%"),
                alt.Tooltip("scores:Q", title="Scores", format=","),
            ],
        )
    )


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
    line = (
        alt.Chart(theme.data(rows), height=theme.HEIGHT)
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
        alt.Chart(theme.data(long), height=theme.HEIGHT)
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


def _propensities(top: float) -> alt.Scale:
    """Return the scale of charts that stand under each other: Vega must not round its end up in one of them only."""
    return alt.Scale(domain=[0, top], nice=False)


def _top(rows: Sequence[Row]) -> float:
    highest = [float(max(row["mean_propensity"], row["purchase_rate"])) for row in rows]
    return min(1.05 * max([0.05, *highest]), 1.0)


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
