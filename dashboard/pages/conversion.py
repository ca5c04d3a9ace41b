"""Conversion: how shoppers become buyers, step by step, and who comes back."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import bar, missing
from dashboard.cards import Share, card, escaped, looked_at, number, numbers, table
from dashboard.charts import conversion as charts
from dashboard.clickhouse import Row
from dashboard.formatting import count, moment, percent, period, plural, points
from dashboard.queries import conversion as queries
from dashboard.queries.conversion import BREAKDOWNS, Funnel
from dashboard.queries.overview import FUNNEL
from dashboard.queries.range import Asks, Range, Span, stored_span
from dashboard.queries.sample import sample_of
from dashboard.queries.shoppers import event_types
from dashboard.remembered import RememberedDatabase

WINDOWS: Final = {
    "24 hours": timedelta(hours=24),
    "1 hour": timedelta(hours=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
}
COHORTS_SHOW: Final = {"Came back": ("shoppers", "had an event"), "Bought": ("buyers", "bought")}
UNNAMED: Final = "(not said)"


def page() -> None:
    """Show the page."""
    asks = RememberedDatabase()
    st.title("Conversion", anchor=False)
    stored = stored_span(asks)
    if stored is None:
        missing.no_events()
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        span = bar.time_range(stored)
        window = WINDOWS[bar.one_of_fixed("Within", "window", list(WINDOWS), width=130)]
        by = bar.one_of_fixed("Broken down by", "by", list(BREAKDOWNS), width=150)
    _funnel(asks, span, stored, Funnel(_steps(asks), window, by))
    _cohorts(asks, span, stored)


def _steps(asks: Asks) -> tuple[str, ...]:
    """Return the steps that this shop's events have: not every shop sends each."""
    sent = event_types(asks)
    return tuple(step for step in FUNNEL if step in sent or step == "view")


def _funnel(asks: Asks, span: Range, stored: Span, asked: Funnel) -> None:
    sampled = sample_of(asks, asked.reading(span))
    everybody = queries.funnel(asks, span, Funnel(asked.steps, asked.window), sampled)
    if not everybody:
        missing.nothing_in_range(span, stored, "view")
        return
    reached = everybody[0]["reached"]
    _numbers(asks, span, stored, Funnel(asked.steps, asked.window), reached)
    st.caption(f"{period(span.since, span.until)}. {looked_at(sampled.share)}")
    groups = everybody if asked.by == "Nothing" else queries.funnel(asks, span, asked, sampled)
    named = [{**row, "name": str(row["name"]) or UNNAMED} for row in groups]
    with card(_finding(asked, reached, named), _explanation(asked, span, stored)):
        st.altair_chart(charts.funnel(named, asked.steps), alt="Shoppers who came to each step", key="funnel")
        rows, columns = _listed(named, asked)
        with st.expander("The steps as a table"):
            table(rows, "funnel", columns, description="Shoppers of each group who came to each step")


def _numbers(asks: Asks, span: Range, stored: Span, asked: Funnel, reached: list[int]) -> None:
    before = span.before() if span.has_all_before(stored) else None
    sampled = before and sample_of(asks, asked.reading(before))
    earlier = queries.funnel(asks, before, asked, sampled) if before and sampled else []
    share, than = reached[-1] / reached[0], earlier and earlier[0]["reached"]
    with numbers("conversion"):
        number("Viewed", count(reached[0]), "Distinct shoppers with a view in the range.")
        for step, now in zip(asked.steps[1:], reached[1:], strict=True):
            number(charts.STEPS[step], count(now), "Of those, who came so far in order and within the window.")
        number(
            "Conversion",
            percent(share),
            "Of those who viewed, who bought step by step within the window; beside it the change since before.",
            points(share, than[-1] / than[0]) if than else None,
        )


def _finding(asked: Funnel, reached: list[int], groups: list[Row]) -> str:
    within = f"within {_words(asked.window)}"
    if asked.by == "Nothing":
        lost = [(before - now, step) for before, now, step in zip(reached, reached[1:], asked.steps[1:], strict=False)]
        worst = f"; most are lost before “{charts.STEPS[max(lost)[1]].lower()}”" if len(lost) > 1 else ""
        return f"{percent(reached[-1] / reached[0])} of those who viewed bought {within}{worst}"
    best = max(groups, key=lambda row: row["reached"][-1] / row["reached"][0])
    name = escaped(best["name"][:40])
    return f"{asked.by} {name} converts best: {percent(best['reached'][-1] / best['reached'][0])} bought {within}"


def _explanation(asked: Funnel, span: Range, stored: Span) -> str:
    unfinished = stored.last - asked.window
    late = f" Who viewed after {moment(unfinished)} still has time." if span.until > unfinished else ""
    group = "" if asked.by == "Nothing" else f" {asked.by} of the first view; the {queries.MOST_GROUPS} largest groups."
    return (
        f"Distinct shoppers, each step after the one before and within {_words(asked.window)} of a view in the range, "
        f"also after its end.{group}{late}"
    )


def _listed(groups: list[Row], asked: Funnel) -> tuple[list[Row], dict[str, object]]:
    """Return the groups with a column for each step, and the columns."""
    rows = [
        {
            "name": row["name"],
            **dict(zip(asked.steps, row["reached"], strict=True)),
            "conversion": row["reached"][-1] / row["reached"][0],
        }
        for row in groups
    ]
    columns: dict[str, object] = {
        "name": st.column_config.TextColumn(asked.by, pinned=True),
        **{step: st.column_config.NumberColumn(charts.STEPS[step], format="localized") for step in asked.steps},
        "conversion": Share("Conversion"),
    }
    if asked.by == "Nothing":
        del columns["name"]
    return rows, columns


def _cohorts(asks: Asks, span: Range, stored: Span) -> None:
    sampled = sample_of(asks, Range(stored.first, span.until))
    rows = queries.cohorts(asks, span, sampled)
    if not rows:
        return
    with card(
        "Who comes back: shoppers by the week of their first event",
        "Weeks begin on Monday. A cell is the share of the shoppers who were first seen in that week; dashed: the week "
        "is not over. The first week that is stored also holds shoppers who had come before. "
        + looked_at(sampled.share),
    ):
        shown = st.segmented_control(
            "Show", list(COHORTS_SHOW), default="Came back", key="cohort", bind="query-params", required=True
        )
        column, words = COHORTS_SHOW[shown or "Came back"]
        cells = _cells(rows, column, stored.last, span.zone)
        st.altair_chart(
            charts.cohorts(cells, words), alt=f"Share of each week's new shoppers who {words}", key="cohorts"
        )
        if len({row["first_week"] for row in rows}) == 1:
            st.caption("One week so far: what becomes of it is told here when there are more.")


def _cells(rows: list[Row], column: str, last: datetime, zone: str) -> list[Row]:
    sizes = {row["first_week"]: row["shoppers"] for row in rows if row["later"] == 0}
    return [
        {
            "week": f"{row['first_week'].day} {row['first_week']:%b %Y}",
            "later": row["later"],
            "number": row[column],
            "size": sizes[row["first_week"]],
            "share": row[column] / sizes[row["first_week"]],
            "over": _end(row, zone) <= last,
        }
        for row in rows
    ]


def _end(row: Row, zone: str) -> datetime:
    """Return when the week of a cell is over."""
    monday = datetime.combine(row["first_week"], datetime.min.time(), ZoneInfo(zone))
    return monday + timedelta(weeks=row["later"] + 1)


def _words(window: timedelta) -> str:
    hours = round(window / timedelta(hours=1))
    return plural(hours, "hour") if hours <= 24 else plural(hours / 24, "day")
