"""Charts of calibration: what was said beside what came true."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

FEW_SCORES: Final = 20
"""A bin of fewer says little."""
_Y_AXIS: Final[dict[str, Any]] = {"minExtent": 40, "maxExtent": 40}


def calibration(rows: Sequence[Row]) -> AnyChart:
    """Points of bins: `mean_propensity` by `purchase_rate` from `low` to `high`; on the diagonal they are right.

    Bins of fewer than FEW_SCORES `scores` are hollow.
    """
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
    intervals = bins.mark_rule(color=theme.ACCENT, opacity=0.6).encode(y=alt.Y("low:Q", title="did buy"), y2="high:Q")
    points = bins.mark_point(color=theme.ACCENT, size=60, opacity=1).encode(
        fill=alt.condition(f"datum.scores >= {FEW_SCORES}", alt.value(theme.ACCENT), alt.value("transparent")),
        tooltip=[
            alt.Tooltip("mean_propensity:Q", title="Propensity", format=".2%"),
            alt.Tooltip("purchase_rate:Q", title="Did buy", format=".2%"),
            alt.Tooltip("low:Q", title="At least", format=".2%"),
            alt.Tooltip("high:Q", title="At most", format=".2%"),
            alt.Tooltip("scores:Q", title="Scores", format=","),
        ],
    )
    return diagonal + intervals + points


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


def _propensities(top: float) -> alt.Scale:
    """Return the scale of charts that stand under each other: Vega must not round its end up in one of them only."""
    return alt.Scale(domain=[0, top], nice=False)


def _top(rows: Sequence[Row]) -> float:
    told = [row for row in rows if row["scores"] >= FEW_SCORES] or rows
    highest = [float(max(row["mean_propensity"] for row in rows)), *(float(row["high"]) for row in told)]
    return min(1.05 * max([0.05, *highest]), 1.0)
