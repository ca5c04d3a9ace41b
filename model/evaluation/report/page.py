"""The report's page: the content of report.json as sentences, tables and pictures."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from model.evaluation.report.formatting import (
    METRIC_TITLES,
    amount,
    difference,
    interval,
    number,
    short_title,
)
from model.evaluation.report.next_items import next_items_section
from model.evaluation.report.pictures import pictures_of
from model.metrics import number_text

Report = dict[str, Any]

PAGE: Final = "report.html"
NUMBERS: Final = "report.json"

_OURS: Final = "cartcast"
_WITHOUT_TEXT: Final = "cartcast_without_text"
_WITHOUT_IDENTITIES: Final = "cartcast_without_identities"
_TOTAL: Final = "total"
_MAIN: Final = ("roc_auc", "pr_auc", "log_loss", "brier", "ece")
_DECISIONS: Final = ("accuracy", "precision", "recall", "f1")
_TRADED: Final = ("precision", "recall")
"""One is had for the other: the highest is not the best."""
_SHARES: Final = tuple(f"{name}_{share}_percent" for name in ("lift", "gain") for share in (1, 5, 10))
_MONEY_MODELS: Final = {
    "cartcast": "Cartcast",
    "propensity_times_value": "Propensity times mean value",
    "constant": "Constant",
}
_MONEY_METRICS: Final = ("ratio", "d2", "gain_10_percent")
_GROUP_METRICS: Final = ("base_rate", "roc_auc", "pr_auc", "log_loss")


def write_report(report: Report, directory: Path) -> None:
    """Write both files, each whole or not at all; raises OSError."""
    write_whole(directory / PAGE, page_of(report, pictures_of(report)))
    write_whole(directory / NUMBERS, json.dumps(report, indent=1, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and its directory if there is none; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=path.parent) as workplace:
        unfinished = Path(workplace) / path.name
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)  # noqa: PTH105 - as its documentation names what it promises


def page_of(report: Report, pictures: dict[str, str]) -> str:
    """Return the HTML with its pictures, given by name: one file, no script, no external resources."""
    return rendered(
        "report.html",
        report=report,
        pictures=pictures,
        headlines=[_headline(report, horizon) for horizon in report["horizons"]],
        tables=[_table(report, horizon) for horizon in (*report["horizons"], _TOTAL)],
        group_tables=[_group_table(report, horizon) for horizon in report["horizons"]],
        words=_value_of_words(report),
        logins=_ablation(report["slices"].get("after_login", {}), _WITHOUT_IDENTITIES, report),
        money=_money(report["money"]),
        heads=_heads(report["checkpoint"]["heads"]),
        next_items=next_items_section(report["next_items"]),
        thresholds=[
            (model["title"], [model["thresholds"][horizon] for horizon in report["horizons"]])
            for model in report["models"]
            if model["thresholds"] is not None
        ],
        short_title=short_title,
    )


def rendered(template: str, **values: object) -> str:
    """Return one of the templates, filled in."""
    import jinja2  # noqa: PLC0415 - only reports need it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("model.evaluation.report"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def _headline(report: Report, horizon: str) -> dict[str, Any]:
    """Return the headline of a horizon: how much better than chance, and than the best baseline."""
    ours, counts = report["slices"]["all"]["models"][_OURS][horizon], report["slices"]["all"]["counts"][horizon]
    base_rate, pr_auc = ours["base_rate"], ours["pr_auc"]
    return {
        "title": report["titles"][horizon],
        "pr_auc": number("pr_auc", pr_auc),
        "interval": interval("pr_auc", ours["intervals"]["pr_auc"]),
        "times": f"{pr_auc / base_rate:.1f}\u00d7 the base rate of {number('base_rate', base_rate)}" if pr_auc else "",
        "events": f"{counts['events']:,} events of {counts['users']:,} users, {counts['positives']:,} positive",
        "facts": [(METRIC_TITLES[name], number(name, ours[name])) for name in ("roc_auc", "log_loss", "ece")]
        + [("Lift, top 5 %", number("lift_5_percent", ours["lift_5_percent"]))],
        "comparison": _against_best_baseline(report, horizon),
    }


def _against_best_baseline(report: Report, horizon: str) -> dict[str, str] | None:
    """Compare with the best baseline at this horizon by the interval of the paired difference."""
    group = report["slices"]["all"]
    baselines = [model for model in _baselines(report) if group["models"][model["name"]][horizon]["pr_auc"] is not None]
    if not baselines:
        return None
    best = max(baselines, key=lambda model: group["models"][model["name"]][horizon]["pr_auc"])
    found = group["differences"][best["name"]][horizon]["pr_auc"]
    ends, title = found["interval"], best["title"].lower()
    numbers = difference(found["value"])
    if ends is None or ends[0] <= 0 <= ends[1]:
        kind, words = "even", f"no clear difference from the best baseline, {title}"
    else:
        kind, words = ("better", "better than") if ends[0] > 0 else ("worse", "worse than")
        words += f" the best baseline, {title}"
    return {"kind": kind, "words": words, "numbers": f"PR AUC {numbers}{_ends(ends)}"}


def _ends(ends: list[float] | None) -> str:
    return "" if ends is None else f" ({difference(ends[0])} to {difference(ends[1])})"


def _baselines(report: Report) -> list[dict[str, Any]]:
    compared = report["slices"]["all"]["differences"]
    return [
        model for model in report["models"] if model["name"] in compared and "text" not in model["name"].split("_")[2:]
    ]


def _table(report: Report, horizon: str) -> dict[str, Any]:
    """Return a horizon's table: one row per model, one cell per metric, a clearly best cell marked."""
    group = report["slices"]["all"]
    models = [model for model in report["models"] if model["name"] == _OURS or model in _baselines(report)]
    metrics = (*_MAIN, *_DECISIONS, *_SHARES)
    measured = {model["name"]: group["models"][model["name"]][horizon] for model in models}
    best = group["best"][horizon]
    return {
        "title": report["titles"][horizon],
        "counts": group["counts"].get(horizon),
        "base_rate": number("base_rate", measured[_OURS]["base_rate"]),
        "columns": [METRIC_TITLES[name] for name in metrics],
        "main": len(_MAIN),
        "rows": [
            {
                "name": model["name"],
                "title": short_title(model),
                "cells": [
                    _cell(name, measured[model["name"]], is_best=name not in _TRADED and best[name] == model["name"])
                    for name in metrics
                ],
                "differences": _paired(group["differences"].get(model["name"], {}).get(horizon)),
            }
            for model in models
        ],
    }


def _cell(name: str, measured: dict[str, Any], *, is_best: bool = False) -> dict[str, Any]:
    value = measured[name]
    return {
        "value": number(name, value),
        "interval": interval(name, measured["intervals"][name]),
        "best": is_best,
    }


def _paired(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the cells of the differences in PR AUC and log loss; empty for the model itself."""
    if found is None:
        return [{"value": "", "interval": "", "best": False}] * 2
    return [
        {
            "value": difference(found[name]["value"]),
            "interval": _ends(found[name]["interval"]).strip(" ()"),
            "best": False,
        }
        for name in ("pr_auc", "log_loss")
    ]


def _group_table(report: Report, horizon: str) -> dict[str, Any]:
    """Return a horizon's table of groups: ours with intervals, and logistic regression's PR AUC beside it."""
    rows = []
    for group in report["slices"].values():
        ours = group["models"][_OURS][horizon]
        beside = group["models"].get("logistic_regression", {}).get(horizon, {}).get("pr_auc")
        rows.append(
            {
                "title": group["title"],
                "events": group["counts"][horizon]["events"],
                "users": group["counts"][horizon]["users"],
                "cells": [_cell(name, ours) for name in _GROUP_METRICS],
                "beside": number("pr_auc", beside),
            }
        )
    return {
        "title": report["titles"][horizon],
        "columns": [METRIC_TITLES[name] for name in _GROUP_METRICS],
        "rows": rows,
    }


def _value_of_words(report: Report) -> dict[str, Any]:
    """Return what the words of searches and reviews add, one row per horizon."""
    trained = report["text"]["trained_without"]
    rows = _ablation(report["slices"]["all"], _WITHOUT_TEXT, report)
    for row, horizon in zip(rows, report["horizons"], strict=False):
        apart = trained.get(horizon) if isinstance(trained, dict) else None
        row["trained_without"] = [number(name, (apart or {}).get(name)) for name in ("pr_auc", "log_loss")]
    return {"rows": rows, "has_trained_without": bool(trained)}


def _ablation(group: dict[str, Any], without: str, report: Report) -> list[dict[str, Any]]:
    """Return the model beside itself without something in a group of events, one row per horizon."""
    return [
        {
            "title": report["titles"][horizon],
            "cells": [
                tuple(number(name, group["models"][model][horizon][name]) for model in (_OURS, without))
                for name in ("pr_auc", "log_loss")
            ],
            "differences": _paired(group["differences"][without][horizon]),
        }
        for horizon in (report["horizons"] if without in group.get("models", ()) else ())
    ]


def _heads(heads: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one table per extra head, with a column per metric."""
    columns = sorted({name for found in heads.values() for name, value in found.items() if _is_number(value)})
    return [
        {
            "title": head.replace("_", " "),
            "columns": columns,
            "cells": [number_text(found.get(name)) for name in columns],
        }
        for head, found in heads.items()
    ]


def _money(money: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the tables of expected values: one row per model, and one per tenth of the events."""
    if money is None:
        return None
    return {
        "asked": money["asked"],
        "mean": amount(money["mean"]),
        "models": [
            {
                "title": _MONEY_MODELS[name],
                "mean": amount(found["mean"]),
                "cells": [
                    {
                        "value": number(metric, found[metric]),
                        "interval": interval(metric, found[f"{metric}_interval"]),
                        "best": False,
                    }
                    for metric in _MONEY_METRICS
                ],
                "difference": {
                    "value": difference(money["differences"].get(name, {}).get("d2")) if name != _OURS else "",
                    "interval": _ends(money["differences"].get(name, {}).get("d2_interval")).strip(" ()"),
                    "best": False,
                },
            }
            for name, found in money["models"].items()
        ],
        "deciles": [
            {
                "number": place,
                "predicted": amount(one["predicted"]),
                "actual": {
                    "value": amount(one["actual"]),
                    "interval": "\u2013".join(map(amount, one["actual_interval"] or ())),
                    "best": False,
                },
            }
            for place, one in enumerate(money["deciles"], 1)
        ],
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
