"""Lists that were shown, on the page Model: what came of them, by position and by who made them."""

from typing import Any

import streamlit as st

from dashboard import missing
from dashboard.cards import card, escaped, table
from dashboard.charts import model as charts
from dashboard.clickhouse import Row
from dashboard.formatting import count, percent
from dashboard.queries import model as queries
from dashboard.queries.range import Asks

UNNAMED = "(not said)"


def show(asks: Asks) -> None:
    """Show clicks by position, and what came of each list; if there are none, say how impressions come in."""
    lists = _named(queries.shown_by_list(asks))
    if not lists:
        with card("Lists that were shown"):
            missing.nothing_here(
                "No impression is stored whose 30 minutes are over. Send what a page shows as events of type "
                "impression, with the items in their order: then it says here what came of them."
            )
        return
    note = (
        "A view within 30 minutes, a cart or a purchase within 24 hours, credited to the last list that showed the "
        "item to the shopper before. Over everything stored of the sampled shoppers; 95 % intervals over shoppers."
    )
    _positions(_named(queries.shown_by_position(asks)))
    best = max(lists, key=lambda row: row["ctr"] - row["ctr_margin"])
    finding = f"{escaped(best['shown_by'][:60])} is clicked most: {percent(best['ctr'])} of what it shows"
    with card("One list" if len(lists) == 1 else finding, note):
        table(_rated(lists), "lists", _LISTS, description="Click-through and conversion by model version and placement")


def _positions(rows: list[Row]) -> None:
    first = [row for row in rows if row["position"] == min(row["position"] for row in rows)]
    shown, clicks = sum(row["shown"] for row in first), sum(row["clicks"] for row in first)
    with card(
        f"Of {count(shown)} items shown first, {percent(clicks / shown)} were clicked",
        "A line for each model; bars are 95 % intervals.",
    ):
        st.altair_chart(charts.click_rates(rows), alt="Click-through rate by position in the list", key="click-rates")


def _named(rows: list[Row]) -> list[Row]:
    return [{**row, "shown_by": row["shown_by"] or UNNAMED} for row in rows]


def _rated(rows: list[Row]) -> list[Row]:
    """Write each rate with its margin."""
    words = {
        name: [
            "-" if row[name] is None else f"{percent(row[name], 2)} ± {percent(row[f'{name}_margin'], 2)}"
            for row in rows
        ]
        for name in ("ctr", "cart_rate", "purchase_rate")
    }
    return [{**row, **{f"{name}_words": words[name][place] for name in words}} for place, row in enumerate(rows)]


_NUMBER = st.column_config.NumberColumn
_LISTS: dict[str, Any] = {
    "shown_by": st.column_config.TextColumn("List by", pinned=True),
    "placement": st.column_config.TextColumn("Placement"),
    "ctr_words": st.column_config.TextColumn("CTR", help="Clicks over items shown"),
    "cart_rate_words": st.column_config.TextColumn("Carted", help="Over items shown whose 24 hours are over"),
    "purchase_rate_words": st.column_config.TextColumn("Bought", help="Over items shown whose 24 hours are over"),
    "shown": _NUMBER("Items shown", format="localized"),
    "clicks": _NUMBER("Clicks", format="localized"),
    "carts": _NUMBER("Carts", format="localized"),
    "purchases": _NUMBER("Purchases", format="localized"),
}
