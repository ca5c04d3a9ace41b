"""Calibration, on the page Model: what was said beside what came true."""

from typing import Any, Final

import streamlit as st

from dashboard import missing
from dashboard.cards import Share, card, table
from dashboard.charts import calibration as charts
from dashboard.clickhouse import Row
from dashboard.formatting import percent
from dashboard.intervals import wilson

PASSES: Final = {"session": "30 minutes after its last event", "1h": "after 1 hour", "24h": "after 24 hours"}
"""When it is known whether the shopper bought."""


def show(bins: list[Row], horizon: str, when: str) -> None:
    """Show the curve with its intervals, and the bins as a table. `when` says of which time."""
    scores = sum(row["scores"] for row in bins)
    if not scores:
        with card("Calibration"):
            missing.nothing_here(f"No score of this range has an outcome: it is known {PASSES[horizon]}.")
        return
    said = sum(row["mean_propensity"] * row["scores"] for row in bins) / scores
    bought = sum(row["purchases"] for row in bins) / scores
    with card(
        f"{_bias(said, bought)}: said {percent(said)}, {percent(bought)} did buy",
        f"Bins of half a logit; hollow: fewer than {charts.FEW_SCORES} scores. Lines are 95 % intervals (Wilson) as if "
        f"every score stood alone; those of one shopper do not, so the truth may lie a little outside. {when}",
    ):
        known = [row | _ends(row) for row in bins]
        st.altair_chart(charts.calibration(known), alt="Purchase rate over propensity", key="calibration")
        st.altair_chart(charts.counts(known), alt="Scores of each bin", key="calibration-counts")
        with st.expander("The bins as a table"):
            table(known, "calibration", _COLUMNS, description="Calibration bins with counts")


def _ends(row: Row) -> Row:
    low, high = wilson(row["purchases"], row["scores"])
    return {"low": low, "high": high}


def _bias(said: float, bought: float) -> str:
    if abs(said - bought) <= max(0.005, 0.05 * bought):
        return "Right on average"
    return "Too high on average" if said > bought else "Too low on average"


_COLUMNS: dict[str, Any] = {
    "mean_propensity": Share("Said"),
    "purchase_rate": Share("Did buy"),
    "low": Share("At least", "Lower end of the 95 % interval"),
    "high": Share("At most", "Upper end of the 95 % interval"),
    "scores": st.column_config.NumberColumn("Scores", format="localized"),
    "purchases": st.column_config.NumberColumn("Bought", format="localized"),
}
