"""Charts of the page Conversion."""

from collections.abc import Sequence
from typing import Final

import altair as alt

from dashboard.charts import theme
from dashboard.charts.theme import AnyChart
from dashboard.clickhouse import Row

STEPS: Final = {
    "view": "Viewed",
    "cart": "Put into the cart",
    "checkout": "Went to check-out",
    "purchase": "Bought",
}
_STEP_HEIGHT: Final = 44
_BAR_HEIGHT: Final = 18
_CELL_HEIGHT: Final = 30
_AXIS_HEIGHT: Final = 60
"""A chart's height holds its axis and its legend."""


def funnel(rows: Sequence[Row], steps: Sequence[str]) -> AnyChart:
    """Bars: `reached` of each group `name`, as the share of those who entered, step by step."""
    long = [
        {
            "step": STEPS[step],
            "name": row["name"],
            "shoppers": shoppers,
            "share": shoppers / row["reached"][0],
            # who entered are 100 % of themselves, and the longest bar leaves a phone no place to say so
            "label": f"{shoppers:,}" + ("" if step == steps[0] else f" ({100 * shoppers / row['reached'][0]:.1f} %)"),
        }
        for row in rows
        for step, shoppers in zip(steps, row["reached"], strict=True)
    ]
    names = [row["name"] for row in rows]
    step_height = max(_STEP_HEIGHT, _BAR_HEIGHT * len(rows) + 14)
    legend_height = theme.height(names) - theme.HEIGHT + 30
    height = len(steps) * step_height + _AXIS_HEIGHT + (legend_height if len(rows) > 1 else 0)
    base = alt.Chart(theme.data(long), height=height).encode(
        y=alt.Y("step:N", sort=None, title=None, axis=alt.Axis(labelLimit=120)),
        x=alt.X(
            "share:Q",
            title="share of those who viewed",
            scale=alt.Scale(domain=[0, 1.4]),
            axis=alt.Axis(format="~%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
        yOffset=alt.YOffset("name:N", sort=names),
        tooltip=[
            alt.Tooltip("step:N", title="Step"),
            alt.Tooltip("name:N", title="Group"),
            alt.Tooltip("shoppers:Q", title="Shoppers", format=","),
            alt.Tooltip("share:Q", title="Of those who viewed", format=".1%"),
        ],
    )
    bars = base.mark_bar(height={"band": 0.85 if len(rows) > 1 else 0.6}, cornerRadiusEnd=3)
    coloured = bars.encode(color=_colour(names))
    texts = base.mark_text(align="left", baseline="middle", dx=6, dy=4 if len(rows) > 1 else 0, color=theme.TEXT)
    return coloured + texts.encode(text="label:N")


def _colour(names: Sequence[str]) -> AnyChart:
    """Return the colour of one group, of segments, or of groups that nobody knows beforehand."""
    if len(names) == 1:
        return alt.value(theme.ACCENT)
    return theme.colors(theme.SEGMENTS, "name", names) if "high" in names else theme.series("name", names)


def cohorts(rows: Sequence[Row], what: str) -> AnyChart:
    """Cells: `week` of the first event by weeks `later`, the fuller the higher `share`; hollow if not `over`."""
    weeks = list(dict.fromkeys(row["week"] for row in rows))
    highest = max([0.01, *(row["share"] for row in rows if row["later"] or what != "came back")])
    base = alt.Chart(theme.data(rows), height=len(weeks) * _CELL_HEIGHT + _AXIS_HEIGHT).encode(
        x=alt.X("later:O", title="weeks after the first", axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("week:N", sort=weeks, title=None),
        tooltip=[
            alt.Tooltip("week:N", title="First seen in the week of"),
            alt.Tooltip("size:Q", title="Shoppers", format=","),
            alt.Tooltip("later:O", title="Weeks later"),
            alt.Tooltip("number:Q", title=what.capitalize(), format=","),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
            alt.Tooltip("over:N", title="The week is over"),
        ],
    )
    cells = base.mark_rect(color=theme.ACCENT, cornerRadius=3).encode(
        opacity=alt.condition(
            "datum.over",
            alt.Opacity("share:Q", legend=None, scale=alt.Scale(domain=[0, highest], range=[0.06, 0.85], clamp=True)),
            alt.value(0.0),
        )
    )
    hollow = base.transform_filter("!datum.over").mark_rect(
        filled=False, stroke=theme.MUTED, strokeDash=[3, 3], cornerRadius=3
    )
    texts = base.mark_text(fontSize=11).encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition(f"datum.over && datum.share > {highest / 2}", alt.value("white"), alt.value(theme.TEXT)),
    )
    return cells + hollow + texts
