"""How a report formats metrics and numbers."""

from typing import Any, Final

from model.metrics import ABSENT
from model.ranking import LOWER_IS_BETTER

METRIC_TITLES: Final = {
    "base_rate": "Base rate",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "Log loss",
    "brier": "Brier",
    "ece": "ECE",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "lift_1_percent": "Lift 1 %",
    "lift_5_percent": "Lift 5 %",
    "lift_10_percent": "Lift 10 %",
    "gain_1_percent": "Gain 1 %",
    "gain_5_percent": "Gain 5 %",
    "gain_10_percent": "Gain 10 %",
}


def number(metric: str, value: float | None) -> str:
    """Format a metric's value."""
    if value is None:
        return ABSENT
    if metric == "base_rate" or metric.startswith("gain"):
        return f"{100 * value:.1f} %"
    if metric.startswith("lift"):
        return f"{value:.1f}\u00d7"
    return f"{value:.4f}" if metric in LOWER_IS_BETTER else f"{value:.3f}"


def interval(metric: str, ends: Any) -> str:  # noqa: ANN401 - two numbers or nothing, as JSON has it
    """Format an interval; empty where there is none."""
    if ends is None:
        return ""
    low, high = number(metric, ends[0]).rstrip(" %\u00d7"), number(metric, ends[1])
    return f"{low}\u2013{high}"


def difference(value: float | None) -> str:
    """Format a difference with its sign."""
    return ABSENT if value is None else f"{value:+.4f}".replace("-", "\u2212")


def amount(value: float | None) -> str:
    """Format an amount of money."""
    return ABSENT if value is None else f"{value:,.2f}"


def short_title(model: dict[str, Any]) -> str:
    """Name a model in a legend or a table."""
    return "Cartcast" if model["name"] == "cartcast" else str(model["title"])
