"""Model: whether the probabilities can be trusted, and what changed."""

from typing import Any

import streamlit as st

from dashboard import annotations, bar, missing
from dashboard.annotations import Annotation
from dashboard.cards import Share, When, card, escaped, number, numbers, table
from dashboard.charts import model as charts
from dashboard.charts import theme
from dashboard.clickhouse import Row
from dashboard.formatting import count, decimal, percent, period, plural
from dashboard.pages import calibration, drift, shown, threshold
from dashboard.queries import model as queries
from dashboard.queries.range import Asks, Range, Span, stored_span
from dashboard.remembered import RememberedDatabase


def page() -> None:
    """Show the page."""
    asks = RememberedDatabase()
    st.title("Model", anchor=False)
    stored = stored_span(asks)
    if stored is None:
        missing.no_events()
        return
    versions = [row["model"] for row in queries.models(asks)]
    with st.container(horizontal=True, vertical_alignment="top"):
        span = bar.time_range(stored)
        horizon = bar.horizon()
        model = bar.one_of_fixed("Model version", "model", versions, width=230)
    everywhere = queries.evaluation(asks, horizon)
    mine = next((row for row in everywhere if row["model"] == model), None)
    if mine is None:
        missing.nothing_here(
            "No score of this model has an outcome yet: whether the shopper bought is known "
            f"{calibration.PASSES[horizon]}, counted in event time."
        )
    else:
        _numbers(mine)
        points = [row for row in queries.operating_points(asks, model, horizon) if row["recall"] is not None]
        if points:
            _curves(points, mine)
        threshold.show(asks, span, stored, horizon, points)
        _evaluation(asks, model, horizon, stored)
    drift.show(asks, [row for row in queries.drift(asks, model, horizon, span) if row["psi"] is not None], span)
    _histogram(asks, horizon, span)
    if everywhere:
        _versions(everywhere, horizon)
    shown.show(asks)


def _numbers(mine: Row) -> None:
    with numbers("model"):
        number(
            "ROC AUC", decimal(mine["roc_auc"]), "Chance that a score followed by a purchase is above one that is not."
        )
        number("PR AUC", decimal(mine["pr_auc"]), f"Average precision; chance gives {decimal(mine['base_rate'])}.")
        number("Log loss", decimal(mine["log_loss"], 4), "Mean negative log likelihood; lower is better.")
        number("Off by (ECE)", percent(mine["ece"], 2), "Mean distance of said and true over 20 equal bins (ECE).")
        number(
            "Lift at 5 %", f"{decimal(mine['lift_5'], 1)} x", "Purchases among the highest 5 % of scores, over chance."
        )
        number("Did buy", percent(mine["base_rate"]), f"Said: {percent(mine['mean_propensity'])} on average.")
        number("Outcomes", count(mine["scores"]), "Scores of the sampled shoppers whose horizon has passed.")
    st.caption(
        "Numbers and the three curves below are over everything stored of this model version, so no time is before it."
    )


def _evaluation(asks: Asks, model: str, horizon: str, stored: Span) -> None:
    known = queries.evaluated_until(asks, model, horizon)
    if known is None:
        return
    span = bar.chosen_range(Span(stored.first, known["last"], stored.events))
    hours = queries.evaluation_by_hour(asks, model, horizon, span)
    when = f"{period(span.since, span.until)}, back from the last hour with known outcomes."
    left, right = st.columns(2)
    with left:
        calibration.show(queries.calibration(asks, model, horizon, span), horizon, when)
    with right:
        _by_hour(hours, when, annotations.within(asks, span))
    _auc_by_hour(hours)


def _curves(points: list[Row], mine: Row) -> None:
    base = mine["base_rate"]
    diagonal = [{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 1.0}]
    gain = next((row for row in sorted(points, key=lambda row: row["share"]) if row["share"] >= 0.095), points[0])
    first, second, third = st.columns(3)
    with first, card(f"ROC: area {decimal(mine['roc_auc'])}", "Dashed: chance."):
        chart = charts.share_curve(points, "false_positive_rate", "recall", ("false positive rate", "recall"), diagonal)
        st.altair_chart(chart, alt="ROC curve", key="roc")
    with second, card(f"Precision and recall: area {decimal(mine['pr_auc'])}", "Dashed: chance."):
        flat = [{"x": 0.0, "y": base}, {"x": 1.0, "y": base}]
        chart = charts.share_curve(points, "recall", "precision", ("recall", "precision"), flat)
        st.altair_chart(chart, alt="Precision over recall", key="pr")
    with (
        third,
        card(
            f"The highest {percent(gain['share'], 0)} of scores find {percent(gain['recall'], 0)} of the purchases",
            f"Lift: {decimal(mine['lift_1'], 1)} at 1 %, {decimal(mine['lift_5'], 1)} at 5 %, "
            f"{decimal(mine['lift_10'], 1)} at 10 % of the scores. Dashed: chance.",
        ),
    ):
        chart = charts.share_curve(points, "share", "recall", ("share of scores", "purchases found"), diagonal)
        st.altair_chart(chart, alt="Gain curve: purchases found by share of scores", key="gain")


def _by_hour(hours: list[Row], when: str, happened: list[Annotation]) -> None:
    with card("What was said and what came true, hour by hour", when):
        if hours:
            chart = theme.annotated(charts.said_and_did(hours), happened, "hour")
            st.altair_chart(chart, alt="Mean propensity and purchase rate by hour", key="said-hours")
            with st.expander("The hours as a table"):
                table(hours[::-1], "hours", {"hour": _HOUR, **_METRICS}, description="Evaluation by hour, newest first")
        else:
            missing.nothing_here("No score of this range has an outcome yet.")


def _auc_by_hour(hours: list[Row]) -> None:
    known = [row for row in hours if row["roc_auc"] is not None]
    if not known:
        return
    weights = [row["scores"] for row in known]
    mean = sum(row["roc_auc"] * weight for row, weight in zip(known, weights, strict=True)) / sum(weights)
    note = "Within an hour there are few purchases: single hours stray. Hours without one are left out."
    left, right = st.columns(2)
    with left, card(f"ROC AUC of an hour is {decimal(mean)} on average", note):
        st.altair_chart(charts.metric_over_time(known, "roc_auc", "ROC AUC"), alt="ROC AUC by hour", key="auc-hours")
    with right, card("Log loss of each hour", "Lower is better; it rises with the share that buys."):
        chart = charts.metric_over_time(hours, "log_loss", "log loss")
        st.altair_chart(chart, alt="Log loss by hour", key="loss-hours")


def _histogram(asks: Asks, horizon: str, span: Range) -> None:
    bins = queries.distribution(asks, horizon, span)
    total = sum(row["scores"] for row in bins)
    with card(f"Histogram of {plural(total, 'score')}", f"{period(span.since, span.until)}."):
        if bins:
            st.altair_chart(charts.distribution(bins), alt="Histogram of scores by model version", key="histogram")
            with st.expander("The bins as a table"):
                table(bins, "distribution", _DISTRIBUTION, description="Scores by model version and bin")
        else:
            missing.nothing_here("No score in this range.")


def _versions(rows: list[Row], horizon: str) -> None:
    with card(
        f"{_best(rows)}, horizon {horizon}",
        "Over everything stored; versions that scored other times are not quite comparable.",
    ):
        columns = {"model": st.column_config.TextColumn("Model version", pinned=True), **_METRICS}
        table(rows, "versions", columns, description="Online evaluation of model versions")


def _best(rows: list[Row]) -> str:
    if len(rows) == 1:
        return "One model version"
    known = [row for row in rows if row["roc_auc"] is not None]
    if not known:
        return "Not known which version ranks best"
    return f"{escaped(max(known, key=lambda row: row['roc_auc'])['model'])} ranks best"


_NUMBER = st.column_config.NumberColumn
_HOUR = When("Hour", "YYYY-MM-DD HH:mm")
_SCORES = _NUMBER("Scores", format="localized")
_METRICS: dict[str, Any] = {
    "scores": _SCORES,
    "purchases": _NUMBER("Bought", format="localized"),
    "roc_auc": _NUMBER("ROC AUC", format="%.3f"),
    "pr_auc": _NUMBER("PR AUC", format="%.3f"),
    "log_loss": _NUMBER("Log loss", format="%.4f"),
    "brier": _NUMBER("Brier", format="%.4f"),
    "ece": _NUMBER("Calibration error", format="%.4f"),
    "mean_propensity": Share("Said"),
    "base_rate": Share("Did buy"),
    "lift_1": _NUMBER("Lift 1 %", format="%.1f"),
    "lift_5": _NUMBER("Lift 5 %", format="%.1f"),
    "lift_10": _NUMBER("Lift 10 %", format="%.1f"),
}
_DISTRIBUTION: dict[str, Any] = {
    "model": st.column_config.TextColumn("Model version"),
    "lower": Share("From"),
    "upper": Share("To"),
    "scores": _SCORES,
}
