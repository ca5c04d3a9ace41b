"""Items: which are wanted most, more than before, for the first time, or in vain."""

from collections.abc import Callable
from typing import Any, Final

import streamlit as st

from dashboard import bar, config, missing
from dashboard.cards import Share, When, card, compared_with, escaped, looked_at, number, numbers, table
from dashboard.clickhouse import Row
from dashboard.formatting import change, count, decimal, percent, period, plural, points
from dashboard.queries import items as queries
from dashboard.queries import pipeline
from dashboard.queries.items import FEW_EVENTS
from dashboard.queries.range import Range, Span, stored_span
from dashboard.queries.sample import Sample
from dashboard.remembered import RememberedDatabase
from dashboard.stock import MOST_ITEMS, KnownItem, known_items
from service.errors import LookUpError

ROWS: Final = 25
FEWEST_VIEWERS: Final = 5
"""What fewer shoppers viewed is said to rise whatever the interval."""


def page() -> None:
    """Show the page."""
    asks = RememberedDatabase()
    st.title("Items", anchor=False)
    stored = stored_span(asks)
    if stored is None:
        missing.no_events()
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        span = bar.time_range(stored)
        horizon = bar.horizon()
    sampled = queries.sample(asks, span)
    rows = queries.wanted(asks, span, horizon, sampled, MOST_ITEMS, before=span.before(stored))
    if not rows:
        _nothing(span, stored)
        return
    _numbers(rows[0], span, stored, sampled)
    _most(rows, horizon, is_compared=span.has_all_before(stored))
    left, right = st.columns(2)
    with left:
        _rising(rows, span, stored)
    with right:
        _cold(queries.cold(asks, span, sampled, ROWS), sampled)
    _out_of_stock([row for row in rows if row["most"] <= MOST_ITEMS], pipeline.topics(asks))


def _nothing(span: Range, stored: Span) -> None:
    if span.until <= stored.first or span.since > stored.last:
        missing.nothing_in_range(span, stored)
    else:
        missing.nothing_here("No view of an item in this range: events say which item they are about in `item_id`.")


def _numbers(totals: Row, span: Range, stored: Span, sampled: Sample) -> None:
    """Show what holds of all items, beside the time before; the shoppers that are counted are the same in both."""
    explained: dict[str, tuple[str, Callable[..., str], Callable[..., str | None], str]] = {
        "Viewed items": ("items", count, change, "Items that somebody viewed in the range."),
        "Put into the cart": ("carted", percent, points, "Of the viewed items, those that somebody put into it."),
        "Bought": ("bought", percent, points, "Of the viewed items, those that somebody bought in the range."),
    }
    is_compared = span.has_all_before(stored)
    with numbers("items"):
        for label, (name, shown, compared, text) in explained.items():
            before = totals[f"{name}_before"] if is_compared and totals["items_before"] else None
            number(label, shown(totals[name]), text, compared(totals[name], before))
    st.caption(f"{period(span.since, span.until)}. {compared_with(span, stored)} {looked_at(sampled.share)}")


def _most(rows: list[Row], horizon: str, *, is_compared: bool) -> None:
    most = [row for row in rows if row["most"] <= ROWS]
    columns = {name: column for name, column in _WANTED.items() if is_compared or name != "viewers_before"}
    with card(
        f"{plural(most[0]['viewers'], 'shopper')} viewed the item that is wanted most",
        "Distinct shoppers who viewed the item in the range, and who put it into the cart or bought it. Propensity: "
        f"mean over its viewers of the probability that they buy anything {bar.HORIZON_WORDS[horizon]}.",
    ):
        table(most, "wanted", columns, description="Items with most viewers, carts and purchases")


def _rising(rows: list[Row], span: Range, stored: Span) -> None:
    earlier = span.before(stored)
    when = f"{period(earlier.since, earlier.until)}"
    if not span.has_all_before(stored):
        with card("Rising"):
            missing.nothing_here(
                f"What rises is told by as long a time before, {when}, of which not all is stored: choose a shorter "
                "range."
            )
        return
    rising = [row for row in rows if row["rise_low"] > 1 and row["viewers"] >= FEWEST_VIEWERS]
    rising = sorted(rising, key=lambda row: row["fastest"])[:ROWS]
    with card(
        f"{plural(len(rising), 'item rises', 'items rise')}, one to {decimal(rising[0]['rise'], 1)} times its viewers"
        if rising
        else "Nothing rises for sure",
        f"Viewers, to those from {when}, as the viewers of all items changed. Shown is what has at least "
        f"{FEWEST_VIEWERS} viewers and rises even at the lower end of its 95 % interval, by which it is ranked: few "
        "viewers make a wide one.",
    ):
        if rising:
            table(rising, "rising", _RISING, description="Items with more viewers than in the time before")
        else:
            missing.nothing_here("No item has so many more viewers than before that chance cannot explain it.")


def _how_many_are_cold(found: int) -> str:
    return (
        f"{count(found)}{' or more' if found == ROWS else ''} of the range's items {'is' if found == 1 else 'are'} cold"
    )


def _cold(rows: list[Row], sampled: Sample) -> None:
    with card(
        _how_many_are_cold(len(rows)) if rows else "No item is cold",
        f"Items with an event in the range and fewer than {FEW_EVENTS} ever, the latest first: what a model knows of "
        "them comes from the catalogue."
        + (" Looked for among the shoppers that are counted." if sampled.share < 1 else ""),
    ):
        if rows:
            table(rows, "cold", _COLD, description="Items with few events ever")
        else:
            missing.nothing_here(f"Every item of this range has {FEW_EVENTS} events or more.")


def _out_of_stock(wanted: list[Row], topics: list[str]) -> None:
    """Show which of the items with most viewers cannot be ordered now; the worker says so, if one answers."""
    try:
        known = _known(config.settings().worker_url, tuple(row["item_id"] for row in wanted), tuple(topics))
    except LookUpError as failure:
        with card("Out of stock but wanted"):
            st.info(f"Nobody says what is in stock. {escaped(str(failure))}", icon=":material/info:")
        return
    in_vain = [row for row in wanted if (item := known.get(row["item_id"])) and item.in_stock is False]
    shown = [{**row, "title": known[row["item_id"]].title} for row in in_vain[:ROWS]]
    with card(
        f"{plural(len(in_vain), 'wanted item is', 'wanted items are')} out of stock" if shown else _all_there(known),
        f"Of the {plural(len(wanted), 'item')} with most viewers in the range, those that cannot be ordered now, as "
        "the worker knows it from the catalogue.",
    ):
        if shown:
            table(shown, "out-of-stock", _OUT_OF_STOCK, description="Items out of stock with most viewers")
        else:
            missing.nothing_here("What is in stock is what the items topic says in `in_stock`.")


def _all_there(known: dict[str, KnownItem]) -> str:
    is_said = any(item.in_stock is not None for item in known.values())
    return "Nothing that is wanted is out of stock" if is_said else "The catalogue says nothing of stock"


@st.cache_data(ttl=10, max_entries=20, show_spinner="Asking the worker")
def _known(worker_url: str, item_ids: tuple[str, ...], topics: tuple[str, ...]) -> dict[str, KnownItem]:
    token = config.settings().worker_token.get_secret_value()  # not an argument: Streamlit would keep those
    return known_items(worker_url, item_ids, topics, token=token)


_NUMBER = st.column_config.NumberColumn
_ITEM = st.column_config.TextColumn("Item", pinned=True, width=140)
_CATEGORY = st.column_config.TextColumn("Category", width="small")
_WANTED: dict[str, Any] = {
    "item_id": _ITEM,
    "viewers": _NUMBER("Viewers", format="localized"),
    "carters": _NUMBER("Carted by", format="localized"),
    "buyers": _NUMBER("Bought by", format="localized"),
    "propensity": Share("Propensity"),
    "viewers_before": _NUMBER("Viewers before", format="localized", help="In as long a time before the range"),
    "category": _CATEGORY,
}
_RISING: dict[str, Any] = {
    "item_id": _ITEM,
    "rise": _NUMBER("Times", format="%.1f"),
    "rise_low": _NUMBER("At least", format="%.1f", help="Lower end of the 95 % interval"),
    "viewers": _NUMBER("Viewers", format="localized"),
    "viewers_before": _NUMBER("Before", format="localized"),
    "category": _CATEGORY,
}
_OUT_OF_STOCK: dict[str, Any] = {
    "item_id": _ITEM,
    "viewers": _NUMBER("Viewers", format="localized"),
    "title": st.column_config.TextColumn("Title"),
    "carters": _NUMBER("Carted by", format="localized"),
    "propensity": Share("Propensity"),
    "category": _CATEGORY,
}
_COLD: dict[str, Any] = {
    "item_id": _ITEM,
    "events": _NUMBER("Events ever", format="localized"),
    "last_seen": When("Last", "YYYY-MM-DD HH:mm"),
}
