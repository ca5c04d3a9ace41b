"""Drift, on the page Model: whether scores and inputs are still like those of the reference period."""

from typing import Any, Final

import streamlit as st

from dashboard import annotations, missing
from dashboard.annotations import Annotation
from dashboard.cards import Share, When, card, table
from dashboard.charts import model as charts
from dashboard.charts import theme
from dashboard.clickhouse import Row
from dashboard.formatting import decimal, moment, period, plural
from dashboard.queries import inputs
from dashboard.queries.inputs import Drift
from dashboard.queries.range import Asks, Range
from dashboard.queries.sample import sample_of

TELLING: Final = 500
"""From so many scores or events on, chance alone keeps PSI below 0.04."""
_VERDICTS: Final = {"pass": "✓ pass", "look": "! look", "fail": "✗ fail", "few": "too few"}


def show(asks: Asks, rows: list[Row], span: Range) -> None:
    """Show the drift of scores, `rows` by hour, beside that of the inputs."""
    if not rows:
        with card("Drift"):
            missing.nothing_here("No hour of this range can be compared with this model's reference period.")
        return
    reference = Range(rows[-1]["reference_from"], rows[-1]["reference_to"])
    left, right = st.columns(2)
    with left:
        _scores(rows, reference, annotations.within(asks, span))
    with right:
        _inputs(asks, span, reference)


def _scores(rows: list[Row], reference: Range, happened: list[Annotation]) -> None:
    with card(
        _drifted(rows),
        f"Reference: {period(reference.since, reference.until)}. PSI above {charts.PSI_WATCH} is worth a look, above "
        f"{charts.PSI_ALARM} a different shop. Hours of fewer than {TELLING} scores stray by chance.",
    ):
        psi, ks = st.tabs(["PSI", "KS"])
        rules = {charts.PSI_WATCH: theme.WARNING, charts.PSI_ALARM: theme.ALARM}
        with psi:
            chart = theme.annotated(charts.metric_over_time(rows, "psi", "PSI", rules), happened, "hour")
            st.altair_chart(chart, alt="PSI by hour", key="psi")
        with ks:
            st.altair_chart(charts.metric_over_time(rows, "ks", "KS"), alt="KS by hour", key="ks")
        with st.expander("The hours as a table"):
            table(rows[::-1], "drift", _HOURS, description="Drift by hour, newest first")


def _drifted(rows: list[Row]) -> str:
    last = next((row for row in reversed(rows) if row["scores"] >= TELLING), None)
    if last is None:
        return "Too few scores in every hour to tell drift from chance"
    hour = "Latest hour" if last is rows[-1] else moment(last["hour"])
    finding = {"pass": "close to", "look": "off", "fail": "far from"}[_verdict(last["psi"])]
    return f"{hour} {finding} the reference: PSI {decimal(last['psi'], 2)}, KS {decimal(last['ks'], 2)}"


def _inputs(asks: Asks, span: Range, reference: Range) -> None:
    both = Range(min(span.since, reference.since), max(span.until, reference.until))
    fields = inputs.drift(asks, span, reference, sample_of(asks, both))
    with card(
        _moved(fields),
        f"What events say in the range beside the reference, {period(reference.since, reference.until)}: PSI over a "
        f"field's {inputs.MOST_VALUES} most frequent values, prices by powers of two. Hours of the day differ in a "
        "range that is no whole days.",
    ):
        if fields:
            rows = [_told(field) for field in fields]
            table(rows, "inputs", _FIELDS, description="Drift of each field of the events")
        else:
            missing.nothing_here("No event of the range and the reference period can be compared.")


def _moved(fields: list[Drift]) -> str:
    failing = [each.field for each in fields if each.events >= TELLING and _verdict(each.psi) == "fail"]
    if failing:
        return f"{plural(len(failing), 'input')} far from the reference: {', '.join(failing)}"
    if not any(each.events >= TELLING for each in fields):
        return "Too few events to tell drift of inputs from chance"
    return "No input is far from the reference"


def _verdict(psi: float) -> str:
    return "fail" if psi > charts.PSI_ALARM else "look" if psi > charts.PSI_WATCH else "pass"


def _told(field: Drift) -> Row:
    return {
        "field": field.field,
        "verdict": _VERDICTS["few" if field.events < TELLING else _verdict(field.psi)],
        "psi": field.psi,
        "value": field.value or "(none)",
        "reference_share": field.reference_share,
        "share": field.share,
    }


_NUMBER, _TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
_HOURS: dict[str, Any] = {
    "hour": When("Hour", "YYYY-MM-DD HH:mm"),
    "scores": _NUMBER("Scores", format="localized"),
    "psi": _NUMBER("PSI", format="%.3f"),
    "ks": _NUMBER("KS", format="%.3f"),
}
_FIELDS: dict[str, Any] = {
    "field": _TEXT("Input", pinned=True),
    "verdict": _TEXT("Verdict", width="small"),
    "psi": _NUMBER("PSI", format="%.3f", width="small"),
    "value": _TEXT("Moved most"),
    "reference_share": Share("Reference"),
    "share": Share("Now"),
}
