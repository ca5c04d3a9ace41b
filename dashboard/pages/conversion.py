"""Conversion: how shoppers become buyers, step by step, and who comes back."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import bar, missing
from dashboard.cards import Share, card, compared_with, escaped, looked_at, number, numbers, table
from dashboard.charts import conversion as charts
from dashboard.clickhouse import Row
from dashboard.formatting import change, count, moment, percent, period, plural, points
from dashboard.intervals import wilson
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
COHORTS_SHOW: Final = {"Came back": ("shoppers", "came back"), "Bought": ("buyers", "bought")}
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
    before, counted = _earlier(asks, span, stored, Funnel(asked.steps, asked.window))
    _numbers(asked.steps, reached, before, counted=counted and sampled.share == 1)
    st.caption(f"{period(span.since, span.until)}. {compared_with(span, stored)} {looked_at(sampled.share)}")
    groups = everybody if asked.by == "Nothing" else queries.funnel(asks, span, asked, sampled)
    named = [{**row, "name": str(row["name"]) or UNNAMED} for row in groups]
    with card(_finding(asked, reached, named), _explanation(asked, span, stored)):
        st.altair_chart(charts.funnel(named, asked.steps), alt="Shoppers who came to each step", key="funnel")
        rows, columns = _listed(named, asked)
        with st.expander("The steps as a table"):
            table(rows, "funnel", columns, description="Shoppers of each group who came to each step")


def _earlier(asks: Asks, span: Range, stored: Span, asked: Funnel) -> tuple[list[int], bool]:
    """Return who had come how far at the same point of the time before, if all of it is stored.

    And whether all shoppers are counted.
    """
    if not span.has_all_before(stored):
        return [], False
    before = span.before(stored)
    sampled = sample_of(asks, asked.reading(before))
    rows = queries.funnel(asks, before, asked, sampled, seen_until=stored.last - (span.until - span.since))
    return (rows[0]["reached"] if rows else []), sampled.share == 1


def _numbers(steps: tuple[str, ...], reached: list[int], before: list[int], *, counted: bool) -> None:
    """Show them beside those `before`, counts only if all shoppers are `counted` in both."""
    explained = ["Distinct shoppers with a view in the range."]
    explained += ["Of those, who came so far in order and within the window."] * (len(reached) - 1)
    shares = [each[-1] / each[0] if each else None for each in (reached, before)]
    with numbers("conversion"):
        for step, now, then, text in zip(steps, reached, before or [0] * len(steps), explained, strict=True):
            number(charts.STEPS[step], count(now), text, change(now, then) if counted else None)
        number(
            "Conversion",
            percent(shares[0]),
            "Of those who viewed, who bought step by step within the window; beside it the change since before.",
            points(*shares),
        )


def _finding(asked: Funnel, reached: list[int], groups: list[Row]) -> str:
    within = f"within {_words(asked.window)}"
    if asked.by == "Nothing":
        lost = [(before - now, step) for before, now, step in zip(reached, reached[1:], asked.steps[1:], strict=False)]
        worst = f"; most are lost before “{charts.STEPS[max(lost)[1]].lower()}”" if len(lost) > 1 else ""
        return f"{percent(reached[-1] / reached[0])} of those who viewed bought {within}{worst}"
    best = max(groups, key=lambda row: wilson(row["reached"][-1], row["reached"][0])[0])
    entered, bought = best["reached"][0], best["reached"][-1]
    if wilson(bought, entered)[0] <= reached[-1] / reached[0]:
        return f"No {asked.by.lower()} converts better than all shoppers for sure"
    return f"{asked.by} {escaped(best['name'][:40])} converts best: {percent(bought / entered)} bought {within}"


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
    shown = st.session_state.get("cohort") or next(iter(COHORTS_SHOW))
    column, words = COHORTS_SHOW[shown]
    cells = _cells(rows, column, stored.last, span.zone)
    with card(
        _later(cells, words),
        "Weeks begin on Monday. A cell is the share of the shoppers who were first seen in that week; dashed: the week "
        "is not over. The first week that is stored also holds shoppers who had come before. "
        + looked_at(sampled.share),
    ):
        st.segmented_control(
            "Show", list(COHORTS_SHOW), default=shown, key="cohort", bind="query-params", required=True
        )
        st.altair_chart(
            charts.cohorts(cells, words), alt=f"Share of each week's new shoppers who {words}", key="cohorts"
        )
        if len({row["first_week"] for row in rows}) == 1:
            st.caption("One week so far: what becomes of it is told here when there are more.")


def _later(cells: list[Row], words: str) -> str:
    """Say what the latest week's shoppers did a week later, if that week is over."""
    latest = next((cell for cell in reversed(cells) if cell["later"] == 1 and cell["over"]), None)
    if latest is None:
        return "Shoppers by the week of their first event"
    return (
        f"Of the shoppers first seen in the week of {latest['week']}, {percent(latest['share'])} {words} a week later"
    )


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
