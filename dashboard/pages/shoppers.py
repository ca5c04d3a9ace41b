"""Shoppers: who is about to buy, and why."""

from dataclasses import replace
from typing import Any, Final

import streamlit as st

from dashboard import bar, config, downloads, missing
from dashboard.cards import Money, Share, When, card, chosen_row, compared_with, number, numbers, table
from dashboard.clickhouse import Row
from dashboard.formatting import amount, change, count, percent, period, plural
from dashboard.pages import timeline
from dashboard.queries import overview as overview_queries
from dashboard.queries import shoppers as queries
from dashboard.queries.range import Asks, Range, Span, stored_span
from dashboard.queries.shoppers import Filters
from dashboard.remembered import RememberedDatabase

ROWS: Final = ("25", "100", "500", "1000")
TABLE_HEIGHT: Final = 400
_CLEARED: Final = {"segment": bar.ALL, "category": None, "channel": bar.ALL, "last": bar.ALL, "q": ""}


def page() -> None:
    """Show the page."""
    asks = RememberedDatabase()
    st.title("Shoppers", anchor=False)
    stored = stored_span(asks)
    if stored is None:
        missing.no_events()
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        span = bar.time_range(stored)
        horizon = bar.horizon()
        filters = _filters(asks, span)
        order = bar.one_of_fixed("Rank by", "sort", list(queries.ORDERS), width=150)
        rows = int(bar.one_of_fixed("Rows", "rows", ROWS, width=90))
        asked = bar.text("Shopper", "user", "user id, exactly", width=220)
    segments = {row["segment"]: row for row in queries.segments_within(asks, filters)}
    found = [row for name, row in segments.items() if filters.segment in ("", name)]
    if found:
        before = _before(asks, filters, stored)
        _summary(segments, before, filters.segment)
        st.caption(f"{period(span.since, span.until)}. {_compared(span, stored)}")
        _say_joined(queries.joined(asks, span))
        shoppers = sum(row["shoppers"] for row in found)
        _ranking(queries.ranked(asks, filters, order, horizon, rows), shoppers, filters, order, horizon)
    elif span.until <= stored.first or span.since > stored.last:
        missing.nothing_in_range(span, stored)
    else:
        missing.nothing_here("No shopper passes these filters: the latest event of each counts.")
        st.button("Clear the filters", on_click=_clear)
    if len(asked) > bar.MAX_ID:
        missing.nothing_here(f"No such shopper: an id has at most {count(bar.MAX_ID)} characters.")
    elif asked:
        timeline.show(asks, config.known_as(asked), horizon)
    elif found:
        missing.nothing_here("Choose a shopper in the table, or type an id above, to see what they did and why.")


def _filters(asks: Asks, span: Range) -> Filters:
    segment = bar.one_of("Segment", "segment", queries.SEGMENTS, width=120)
    category = bar.search_one(
        "Category", "category", queries.matching_categories(asks, ""), "type to search", width=170
    )
    channel = bar.one_of("Channel", "channel", overview_queries.channels(asks), width=130)
    event_type = bar.one_of("Last event", "last", queries.event_types(asks), width=150)
    search = bar.text("Search", "q", "part of a user id", width=170).strip()
    exact = category if category and category in queries.matching_categories(asks, category) else ""
    if category and not exact:
        _say_matches(queries.matching_categories(asks, category))
    return Filters(
        span,
        segment=segment,
        category=exact,
        category_contains="" if exact else category,
        channel=channel,
        event_type=event_type,
        search=search,
    )


def _say_matches(names: list[str]) -> None:
    """Say which categories a part of a name stands for; their names are data, hence plain text."""
    if names:
        st.text("No category is called that. Shown are those that contain it: " + ", ".join(names[:8]), width=420)
    else:
        st.text("No category contains that.", width=200)


def _before(asks: Asks, filters: Filters, stored: Span) -> dict[str, Row] | None:
    """Return the segments as they stood at the end of the time before; None if the two cannot be compared."""
    if not (filters.span.has_all_before(stored) and filters.span.is_to_the_end(stored)):
        return None
    then = replace(filters, span=filters.span.before(stored))
    return {row["segment"]: row for row in queries.segments_within(asks, then, queries.AT_THE_END)}


def _compared(span: Range, stored: Span) -> str:
    if span.is_to_the_end(stored):
        return compared_with(span, stored)
    return "No changes: who has come again after this range is not in it."


def _summary(now: dict[str, Row], before: dict[str, Row] | None, segment: str) -> None:
    """Show the sums over the chosen segment, or all, and each segment, beside those `before`."""
    explained = {
        "Shoppers": ("shoppers", count, "Shoppers whose latest event passes the filters."),
        "Expected buyers": ("expected_buyers", count, "Sum of their propensities within 24 hours: so many should buy."),
        "Value at stake": (
            "value_at_stake",
            amount,
            "Sum of propensity within 24 hours times the price last looked at.",
        ),
    }
    with numbers("shoppers"):
        for label, (column, shown, text) in explained.items():
            sums = [_sum(rows, column, segment) for rows in (now, before)]
            number(label, shown(sums[0]), text, change(*sums))
        for name in queries.SEGMENTS:
            sums = [_sum(rows, "shoppers", name) for rows in (now, before)]
            at_stake = amount(_sum(now, "value_at_stake", name))
            text = f"At stake: {at_stake}. Segments go by the propensity within 24 hours."
            number(f"Segment {name}", count(sums[0]), text, change(*sums))


def _sum(by_segment: dict[str, Row] | None, column: str, segment: str) -> float | None:
    """Return the sum over a segment, or over all if it is empty; None of nothing to compare with."""
    if by_segment is None:
        return None
    return sum(row[column] or 0 for name, row in by_segment.items() if segment in ("", name))


def _say_joined(row: Row) -> None:
    """Say how many shoppers were anonymous before, if any were."""
    if row["users"]:
        st.caption(
            f"{plural(row['users'], 'shopper')} logged in in this range and had been anonymous before: "
            f"{plural(row['events'], 'event')} under {plural(row['ids'], 'other id')} are theirs now, and "
            f"{plural(row['sessions'], 'session')} went on under both."
        )


def _ranking(rows: list[Row], shoppers: int, filters: Filters, order: str, horizon: str) -> None:
    best = rows[0][f"propensity_{horizon}"]
    finding = (
        f"The likeliest buys {bar.HORIZON_WORDS[horizon]} with {percent(best)}"
        if order == "Propensity"
        else f"{plural(shoppers, 'shopper')} by {order.lower()}"
    )
    with card(
        finding, f"The first {count(len(rows))} of {plural(shoppers, 'shopper')}. Choose a row for its timeline."
    ):
        table(
            rows,
            "shoppers",
            _columns(horizon),
            description="Shoppers by propensity with their latest event",
            height=TABLE_HEIGHT if len(rows) > 10 else None,
            on_select=lambda: _choose(rows),
        )
        if shoppers > len(rows):
            st.link_button(
                f"All {count(shoppers)} as CSV",
                downloads.link(filters, order, horizon),
                icon=":material/download:",
                type="tertiary",
            )


def _choose(rows: list[Row]) -> None:
    """Take the chosen row's shopper over into the box and the URL."""
    chosen = chosen_row("shoppers")
    if chosen is not None and chosen < len(rows):
        st.session_state["user"] = rows[chosen]["user_id"]


def _columns(horizon: str) -> dict[str, Any]:
    config = st.column_config
    propensities = {
        f"propensity_{name}": Share(
            {"session": "Session", "1h": "1 hour", "24h": "24 hours"}[name], bar=name == horizon
        )
        for name in sorted(bar.HORIZONS, key=lambda name: name != horizon)
    }
    return {
        "user_id": config.TextColumn("Shopper", pinned=True, width=130),
        **propensities,
        "value_at_stake": Money("At stake", "Propensity within 24 hours times the price last looked at"),
        "segment": config.TextColumn("Segment", width="small"),
        "event_type": config.TextColumn("Last event", width=118),
        "event_at": When("When"),
        "category": config.TextColumn("Category"),
        "channel": config.TextColumn("Channel", width="small"),
        "price": Money("Price"),
        "events": config.NumberColumn("Events", format="localized"),
        "model": config.TextColumn("Model"),
    }


def _clear() -> None:
    """Set filters to what lets everybody pass; taken away they would come back from the URL."""
    st.session_state.update(_CLEARED)
