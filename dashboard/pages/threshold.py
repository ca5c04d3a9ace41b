"""A threshold to try, on the page Model: whom it reaches now, and how right it was."""

from typing import Final

import streamlit as st

from dashboard import bar
from dashboard.cards import card, compared_with, number, numbers
from dashboard.clickhouse import Row
from dashboard.formatting import amount, change, count, percent, plural
from dashboard.queries import shoppers as queries
from dashboard.queries.range import Asks, Range, Span
from dashboard.queries.shoppers import Filters

FIRST: Final = 30
"""Percent; where the segment high begins, unless it is set otherwise."""


def show(asks: Asks, span: Range, stored: Span, horizon: str, points: list[Row]) -> None:
    """Show the slider and what it means. `points` are the model version's operating points."""
    is_compared = span.has_all_before(stored) and span.is_to_the_end(stored)
    with card(
        "Who is reached above a threshold",
        "Shoppers whose latest event is of the range, by their latest score, whichever version made it. Precision and "
        "found purchases are those of the chosen version's scores whose outcome is known."
        + (f" {compared_with(span, stored)}" if is_compared else ""),
    ):
        chosen = st.slider(
            f"Propensity {bar.HORIZON_WORDS[horizon]} of at least",
            *(0, 100, FIRST),
            format="%d %%",
            key="threshold",
            bind="query-params",
        )
        threshold = int(FIRST if chosen is None else chosen) / 100
        reached = queries.above(asks, Filters(span), horizon, threshold)
        then = Filters(span.before(stored))
        before = queries.above(asks, then, horizon, threshold, queries.AT_THE_END) if is_compared else {}
        _numbers(reached, before, next((row for row in points if row["threshold"] >= threshold), None))


def _numbers(reached: Row, before: Row, point: Row | None) -> None:
    """Show them beside those `before`, empty if nothing is; `point` is None if no score was so high."""
    changes = {name: change(value, before.get(name)) for name, value in reached.items()}
    precision, recall = (point["precision"], point["recall"]) if point else (None, None)
    share = reached["shoppers"] / reached["all_shoppers"] if reached["all_shoppers"] else None
    with numbers("threshold"):
        number(
            "Reach",
            count(reached["shoppers"]),
            f"Of {plural(reached['all_shoppers'], 'shopper')}: {percent(share)}.",
            changes["shoppers"],
        )
        number("Precision", percent(precision), "Of the scores from the threshold on, those that a purchase followed.")
        number("Purchases found", percent(recall), "Of the scores that a purchase followed, those from it on (recall).")
        number(
            "Expected buyers",
            count(reached["expected_buyers"]),
            "Sum of the propensities of who is reached.",
            changes["expected_buyers"],
        )
        number(
            "At stake",
            amount(reached["value_at_stake"]),
            "Sum of their propensity times the price last looked at.",
            changes["value_at_stake"],
        )
