"""The plots of a report, from the content of report.json."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from model.evaluation.report.formatting import METRIC_TITLES, short_title
from model.evaluation.report.next_items import OURS, RECALL, contenders_of, metric_title
from model.evaluation.report.theme import INK, MUTED, SERIES, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Report = dict[str, Any]

_GROUPS: Final = {
    "unseen": "Never seen",
    "0": "First event",
    "1-4": "1 to 4 before",
    "5-19": "5 to 19",
    "20+": "20 or more",
}
"""Groups of events in as few words as fit beside a panel."""
_CURVES: Final = {
    "pr": ("share of buyers found (recall)", "precision"),
    "roc": ("share of others flagged", "share of buyers found"),
    "gain": ("share of events, highest propensity first", "share of buyers found"),
}


def pictures_of(report: Report) -> dict[str, str]:
    """Return each plot's SVG by name, without those that the data do not allow."""
    plots = {
        "beside_pr_auc": beside(report, "pr_auc"),
        "beside_log_loss": beside(report, "log_loss"),
        "pr": curves(report, "pr"),
        "roc": curves(report, "roc"),
        "gain": curves(report, "gain"),
        "calibration": calibration(report),
        "money": money(report),
        "histogram": histogram(report),
        "groups": groups(report),
        "training": training(report),
        "next_items": next_items(report["next_items"]),
    }
    return {name: picture for name, picture in plots.items() if picture is not None}


def beside(report: Report, metric: str) -> str | None:
    """Plot every model's metric with its interval, one panel per horizon."""
    models = [model for model in report["models"] if model["name"] in SERIES]
    measured = report["slices"]["all"]["models"]
    if len(models) == 1 or not _is_measured(measured[OURS], metric):
        return None
    with panels(len(report["horizons"]), height=2.0 + 0.12 * len(models)) as figure:
        for axes, horizon in zip(figure.axes, report["horizons"], strict=True):
            axes.set_title(report["titles"][horizon])
            for place, model in enumerate(models):
                _dot(axes, -place, measured[model["name"]][horizon], metric, SERIES[model["name"]])
            _names_at_the_left(axes, [short_title(model) for model in models])
            axes.margins(x=0.12, y=0.12)
            axes.locator_params(axis="x", nbins=4)
        return figure.svg(f"{METRIC_TITLES[metric]} of every model, with 95 % intervals")


def curves(report: Report, name: str) -> str | None:
    """Plot one kind of curve of every model and that of chance, one panel per horizon."""
    if not _have_curves(report):
        return None
    across, up = _CURVES[name]
    with panels(len(report["horizons"]), height=3.1) as figure:
        for axes, horizon in zip(figure.axes, report["horizons"], strict=True):
            axes.set(title=report["titles"][horizon], xlabel=across, ylabel=up)
            for model, found in _lines(report, horizon, name):
                ours = model == OURS
                axes.plot(found["x"], found["y"], color=SERIES[model], lw=2.4 if ours else 1.3, zorder=3 if ours else 2)
            _show_chance(axes, name, report["slices"]["all"]["models"][OURS][horizon]["base_rate"])
            axes.set(xlim=(0, 1), ylim=(0, _top(report, horizon, name)))
        return figure.svg(f"{name} curves")


def calibration(report: Report) -> str | None:
    """Plot the reliability diagram where the propensities are: on logarithmic axes, from the lowest to the highest.

    Most propensities are a few percent, which linear axes squeeze into a corner. A group in which nothing happened is
    drawn at the bottom.
    """
    if not _have_curves(report):
        return None
    with panels(len(report["horizons"]), height=3.1) as figure:
        for axes, horizon in zip(figure.axes, report["horizons"], strict=True):
            axes.set(title=report["titles"][horizon], xlabel="predicted propensity", ylabel="observed frequency")
            found = report["curves"][OURS][horizon].get("calibration")
            if not found:
                continue
            positive = [value for value in (*found["propensity"], *found["frequency"]) if value > 0]
            ends = min(positive) / 1.3, min(1.3 * max(positive), 1.0)
            axes.plot(ends, ends, color=MUTED, lw=1, ls=(0, (4, 3)))
            frequencies = [max(frequency, ends[0]) for frequency in found["frequency"]]
            axes.plot(found["propensity"], frequencies, color=SERIES[OURS], marker="o", ms=4.5, clip_on=False)
            _in_percent(axes, ends)
        return figure.svg("calibration: predicted propensity and observed frequency")


def money(report: Report) -> str | None:
    """Plot mean actual against mean predicted value of tenths of the events, with intervals."""
    deciles = (report["money"] or {}).get("deciles")
    if not deciles:
        return None
    with panels(1, height=3.1, width=4.4) as figure:
        axes = figure.axes[0]
        axes.set(xlabel=f"predicted value, {report['money']['asked']}", ylabel="actual value")
        highest = max(max(one["predicted"], one["actual"]) for one in deciles)
        axes.plot([0, highest], [0, highest], color=MUTED, lw=1, ls=(0, (4, 3)))
        for one in deciles:
            if one["actual_interval"] is not None:
                axes.plot([one["predicted"]] * 2, one["actual_interval"], color=SERIES[OURS], lw=2.6, alpha=0.45)
        predicted, actual = ([one[name] for one in deciles] for name in ("predicted", "actual"))
        axes.plot(predicted, actual, color=SERIES[OURS], marker="o", ms=4.5)
        axes.set(xlim=(0, None), ylim=(0, None))
        return figure.svg("predicted and actual value by tenth of the events")


def histogram(report: Report) -> str | None:
    """Plot histograms of the propensities, by whether a purchase followed; counts are logarithmic."""
    if not _have_curves(report):
        return None
    with panels(len(report["horizons"]), height=2.8) as figure:
        for axes, horizon in zip(figure.axes, report["horizons"], strict=True):
            axes.set(title=report["titles"][horizon], xlabel="propensity", ylabel="events")
            found = report["curves"][OURS][horizon].get("histogram")
            if not found:
                continue
            axes.stairs(
                found["others"], found["edges"], fill=True, color=SERIES["base_rate"], alpha=0.55, label="negative"
            )
            axes.stairs(found["buyers"], found["edges"], fill=True, color=SERIES[OURS], alpha=0.75, label="positive")
            axes.set_yscale("log")
            axes.set_ylim(0.7, 8 * max(*found["others"], *found["buyers"]))  # room for the legend
            axes.grid(visible=False, axis="x")
            axes.legend(frameon=False, fontsize=9, loc="upper right")
        return figure.svg("how many events have which propensity")


def groups(report: Report) -> str | None:
    """Plot the ROC AUC in each group of events, beside logistic regression; groups without one are left out."""
    shown = {name: group for name, group in report["slices"].items() if _is_measured(group["models"][OURS], "roc_auc")}
    if not shown:
        return None
    with panels(len(report["horizons"]), height=2.0 + 0.14 * len(shown)) as figure:
        for axes, horizon in zip(figure.axes, report["horizons"], strict=True):
            axes.set_title(report["titles"][horizon])
            for place, group in enumerate(shown.values()):
                for model, shift in (("logistic_regression", -0.17), (OURS, 0.17)):
                    if model in group["models"]:
                        _dot(axes, shift - place, group["models"][model][horizon], "roc_auc", SERIES[model])
            axes.axvline(0.5, color=MUTED, lw=1, ls=(0, (4, 3)))
            _names_at_the_left(axes, [_GROUPS.get(name, group["title"]) for name, group in shown.items()])
            axes.margins(x=0.08, y=0.08)
        low, high = (limit(axes.get_xlim()[end] for axes in figure.axes) for end, limit in ((0, min), (1, max)))
        for axes in figure.axes:
            axes.set_xlim(max(low, 0), min(high, 1))
        return figure.svg("ROC AUC by group of shoppers")


def training(report: Report) -> str | None:
    """Plot the loss over the epochs."""
    epochs = report["checkpoint"]["training_curves"]
    if len(epochs) < 2:
        return None
    with panels(1, height=2.8, width=4.4) as figure:
        axes, numbers = figure.axes[0], [one["epoch"] for one in epochs]
        axes.plot(numbers, [one["train_loss"] for one in epochs], color=SERIES[OURS], marker="o", ms=3.5)
        axes.set(xlabel="epoch", ylabel="log loss")
        axes.locator_params(axis="x", integer=True)
        return figure.svg("training loss over the epochs")


def next_items(found: dict[str, Any] | None) -> str | None:
    """Plot how often each model finds the next item, one panel per goal."""
    if found is None or len(models := contenders_of(found)) == 1:
        return None
    with panels(len(found["goals"]), height=0.6 + 0.36 * len(models)) as figure:
        for axes, (name, goal) in zip(figure.axes, found["goals"].items(), strict=True):
            axes.set_title(f"Next {name}")
            for place, model in enumerate(models):
                measured = goal["all"]["metrics"][model][RECALL]
                color = SERIES[OURS if model == OURS else "base_rate"]
                _dot(
                    axes,
                    -place,
                    {RECALL: measured["value"], "intervals": {RECALL: measured["interval"]}},
                    RECALL,
                    color,
                )
            _names_at_the_left(axes, [textwrap.fill(goal["models"][model]["title"], 20) for model in models])
            axes.margins(x=0.08, y=0.08)
            axes.set_xlim(left=0)
            axes.locator_params(axis="x", nbins=4)
        return figure.svg(f"{metric_title(RECALL)} of every model, with 95 % intervals")


def _dot(axes: "Axes", y: float, metrics: dict[str, Any], metric: str, color: str) -> None:
    """Plot a value and its interval, as far as they exist."""
    if metrics[metric] is None:
        return
    if (interval := metrics["intervals"][metric]) is not None:
        axes.plot(interval, [y, y], color=color, lw=2.6, alpha=0.45)
    axes.plot([metrics[metric]], [y], color=color, marker="o", ms=6.5)


def _in_percent(axes: "Axes", ends: tuple[float, float]) -> None:
    """Give both axes the same logarithmic scale, from one end to the other, with a few round percentages."""
    from matplotlib.ticker import NullLocator  # noqa: PLC0415 - only reports need it

    ratio = ends[1] / ends[0]
    steps = (1, 2, 5) if ratio < 30 else (1, 3) if ratio < 1000 else (1,)
    ticks = [step * 10.0**power for power in range(-6, 1) for step in steps if ends[0] <= step * 10.0**power <= ends[1]]
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_ticks(ticks, [f"{100 * tick:g} %" for tick in ticks])


def _names_at_the_left(axes: "Axes", names: list[str]) -> None:
    axes.set_yticks([-place for place in range(len(names))], names)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _top(report: Report, horizon: str, name: str) -> float:
    """Return the upper limit of a curve's panel: precision is seldom near 1."""
    highest = [max(found["y"]) for _, found in _lines(report, horizon, name)]
    return min(1.02, 1.1 * max(highest)) if name == "pr" and highest else 1.02


def _show_chance(axes: "Axes", name: str, base_rate: float | None) -> None:
    if name != "pr":
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    elif base_rate is not None:
        axes.axhline(base_rate, color=MUTED, lw=1, ls=(0, (4, 3)))


def _lines(report: Report, horizon: str, name: str) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Yield each model's curve, without the base rate's, which is the line of chance."""
    for model, found in report["curves"].items():
        if model in SERIES and model != "base_rate" and name in found[horizon]:
            yield model, found[horizon][name]


def _is_measured(measured: dict[str, Any], metric: str) -> bool:
    """Whether a metric could be measured at one horizon at least."""
    return any(found[metric] is not None for found in measured.values())


def _have_curves(report: Report) -> bool:
    return any(report["curves"][OURS][horizon] for horizon in report["horizons"])
