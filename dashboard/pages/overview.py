"""Overview: what happens in the shop, and what will."""

from collections.abc import Callable
from datetime import datetime, timedelta

import streamlit as st

from dashboard import annotations, bar, config, missing
from dashboard.annotations import Annotation
from dashboard.cards import Money, Share, card, compared_with, escaped, number, numbers, table
from dashboard.charts import overview as charts
from dashboard.charts import theme
from dashboard.clickhouse import Row
from dashboard.formatting import amount, change, count, moment, percent, period, plural, points
from dashboard.queries import overview as queries
from dashboard.queries import pipeline as pipeline_queries
from dashboard.queries import shoppers as shopper_queries
from dashboard.queries.range import Asks, Range, Span, stored_span
from dashboard.queries.shoppers import Filters
from dashboard.remembered import RememberedDatabase

SLOWER = 3
"""Charts ask again so many times more seldom than the counters."""


def page() -> None:
    """Show the page."""
    asks = RememberedDatabase()
    st.title("Overview", anchor=False)
    stored = stored_span(asks)
    if stored is None:
        missing.no_events()
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        bar.time_range(stored)
        horizon = bar.horizon()
        channel = bar.one_of("Channel", "channel", queries.channels(asks))
    seconds = config.settings().refresh_seconds
    st.fragment(run_every=seconds)(_counters)(channel)
    st.fragment(run_every=seconds * SLOWER)(_charts)(horizon, channel)


def _counters(channel: str) -> None:
    """Show the numbers that move."""
    with missing.calmly():
        asks = RememberedDatabase()
        stored = stored_span(asks)
        if stored is None:
            return
        span = bar.chosen_range(stored)
        now = queries.measured(asks, span, channel)
        if not now["Events"]:
            missing.nothing_in_range(span, stored)
            return
        _numbers(now, _before(asks, span, channel, stored), pipeline_queries.latest_minutes(asks))
        st.caption(
            f"{period(span.since, span.until)}, latest event {moment(stored.last)}. {compared_with(span, stored)} "
            + (f"Left out: {plural(stored.beyond, 'event')} from clocks that are ahead. " if stored.beyond else "")
            + f"Updates every {config.settings().refresh_seconds:g} s."
        )


def _numbers(now: dict[str, float | None], before: dict[str, float | None], minutes: list[Row]) -> None:
    with numbers("overview"):
        for label, (explanation, shown) in _NUMBERS.items():
            compared = change if shown is count else points
            changed = compared(now[label], before.get(label))
            number(label, shown(now[label]), explanation, changed)
        number(
            "Rows a minute",
            count(minutes[0]["stored"] if minutes else None),
            "Rows scored in the latest whole minute, of all channels; 0 once nothing has been for three. Beside it the "
            "change to the minute before.",
            change(*(row["stored"] for row in minutes)) if len(minutes) > 1 else None,
        )


def _before(asks: Asks, span: Range, channel: str, stored: Span) -> dict[str, float | None]:
    """Return the numbers of as long a time before; none if that is not stored as a whole."""
    if not span.has_all_before(stored):
        return {}
    return queries.measured(asks, span.before(stored), channel)


_NUMBERS: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "Events": ("Events in the time range.", count),
    "Shoppers": ("Distinct shoppers with any event in the range.", count),
    "Purchases": ("Purchase events in the range.", count),
    "Buyers": ("Distinct shoppers with a purchase in the range.", count),
    "Conversion": (
        "Of the shoppers who viewed in the range, who bought in it. The page Conversion follows them step by step.",
        percent,
    ),
}


def _charts(horizon: str, channel: str) -> None:
    """Show what changed over time and where the propensity is."""
    with missing.calmly():
        asks = RememberedDatabase()
        stored = stored_span(asks)
        if stored is None:
            return
        span = bar.chosen_range(stored)
        by_minute = span.hours <= 2 and not channel
        step = span.fine_step if by_minute else span.step
        rows = queries.events_by_minute(asks, span) if by_minute else queries.events_over_time(asks, span, channel)
        if not rows:
            return
        happened = annotations.within(asks, span)
        left, right = st.columns(2)
        with left:
            _events(rows, step, happened)
        with right:
            _purchases(rows, step, happened)
        left, right = st.columns(2)
        with left:
            _propensity(queries.propensity_over_time(asks, span, channel), span.step, horizon, happened)
        with right:
            _segments(asks, Filters(span, channel=channel))
        _where(asks, span, channel, horizon)


def _events(rows: list[Row], step: timedelta, happened: list[Annotation]) -> None:
    by_time: dict[datetime, int] = {}
    for row in rows:
        by_time[row["time"]] = by_time.get(row["time"], 0) + row["events"]
    busiest = max(by_time, key=lambda time: by_time[time])
    finding = f"Busiest {_words(step)}: {moment(busiest)}, {plural(by_time[busiest], 'event')}"
    with card(finding, f"A bar is {_a(step)} of event time."):
        st.altair_chart(theme.annotated(charts.events(rows, step), happened), alt="Events of each type over time")


def _purchases(rows: list[Row], step: timedelta, happened: list[Annotation]) -> None:
    bought = (row for row in rows if row["event_type"] == "purchase")
    most = max(bought, key=lambda row: row["events"], default=None)
    finding = (
        f"Most bought in the {_words(step)} from {moment(most['time'])}: {plural(most['events'], 'purchase')}"
        if most
        else "No purchase"
    )
    with card(finding, f"A bar is {_a(step)} of event time."):
        if most:
            st.altair_chart(theme.annotated(charts.purchases(rows, step), happened), alt="Purchases over time")
        else:
            missing.nothing_here("No purchase in this range.")


def _propensity(rows: list[Row], step: timedelta, horizon: str, happened: list[Annotation]) -> None:
    known = [row[f"propensity_{horizon}"] for row in rows if row[f"propensity_{horizon}"] is not None]
    finding = f"Propensity {bar.HORIZON_WORDS[horizon]} is {percent(known[-1]) if known else 'not known'} at the end"
    with card(finding, "Mean over all events of the probability of a purchase after the event, by horizon."):
        st.altair_chart(
            theme.annotated(charts.propensity(rows, step), happened), alt="Mean propensity of each horizon over time"
        )


def _segments(asks: Asks, filters: Filters) -> None:
    rows = shopper_queries.segments_within(asks, filters)
    high = next((row for row in rows if row["segment"] == "high"), None)
    if high:
        finding = f"Segment high has {plural(high['shoppers'], 'shopper')}, {amount(high['value_at_stake'])} at stake"
    elif any(row["segment"] in shopper_queries.SEGMENTS for row in rows):
        finding = "Nobody is in segment high"
    else:
        finding = "No propensity within 24 hours is known"
    with card(
        finding,
        "Shoppers whose latest event is of this range: the same as on the page Shoppers, which names them. At stake is "
        "the propensity within 24 hours times the price last looked at.",
    ):
        table(
            rows,
            "segments",
            {
                "segment": st.column_config.TextColumn("Segment", width="small"),
                "shoppers": st.column_config.NumberColumn("Shoppers", format="localized", width="small"),
                "mean_propensity_24h": Share("Propensity"),
                "value_at_stake": Money("At stake"),
            },
            description="Segments of shoppers with their value at stake",
        )


def _where(asks: Asks, span: Range, channel: str, horizon: str) -> None:
    """Propensity by event type, channel, category."""
    parts = {
        "event type": queries.propensity_by(asks, "event_type", span, channel),
        "category": queries.propensity_by_category(asks, span),
    }
    if not channel:
        by_channel = queries.propensity_by(asks, "channel", span, channel)
        parts["channel"] = [row for row in by_channel if row["name"]]
    for column, (name, rows) in zip(st.columns(len(parts)), parts.items(), strict=True):
        with column:
            _propensity_by(name, rows, horizon)


def _propensity_by(name: str, rows: list[Row], horizon: str) -> None:
    field = f"propensity_{horizon}"
    known = [row for row in rows if row[field] is not None]
    if not known:
        with card(f"By {name}"):
            missing.nothing_here(f"No event of this range has a {name} and this horizon.")
        return
    top = max(known, key=lambda row: row[field])
    note = "Mean over the range's events."
    if name == "category":
        note = "Mean over the range's events of the ten with most of them, all channels."
    with card(f"By {name}: {escaped(str(top['name'])[:40])} is likeliest, {percent(top[field])}", note):
        st.altair_chart(charts.propensity_by(known, horizon, name.capitalize()), alt=f"Mean propensity by {name}")


def _words(step: timedelta) -> str:
    minutes = int(step.total_seconds() // 60)
    if minutes < 60:
        return "minute" if minutes == 1 else f"{minutes} minutes"
    names = {60: "hour", 24 * 60: "day", 7 * 24 * 60: "week"}
    return names.get(minutes, f"{minutes // 60} hours")


def _a(step: timedelta) -> str:
    words = _words(step)
    return words if words[0].isdigit() else f"{'an' if words == 'hour' else 'a'} {words}"
