"""The report's section on next items: a verdict and tables for each goal, and what the catalogue's fields add."""

from collections.abc import Sequence
from typing import Any, Final

from model.evaluation.next_items.metrics import COLD_BELOW, LISTED, METRICS
from model.evaluation.report.formatting import difference, interval, number

Found = dict[str, Any]

OURS: Final = "cartcast"
RECALL: Final = f"recall_{LISTED}"
_MRR: Final = f"mrr_{LISTED}"
_FIRST_TABLE: Final = 6
"""Metrics in a goal's first table: recall and MRR."""


def next_items_section(found: Found | None) -> dict[str, Any] | None:
    """Return what the template shows; None for a model that does not recommend."""
    if found is None:
        return None
    contenders = contenders_of(found)
    return {
        "candidates": f"{found['items']:,}",
        "training_events": f"{found['training_events']:,}",
        "catalogue": found["catalogue"],
        "cold_below": COLD_BELOW,
        "listed": LISTED,
        "columns": [metric_title(name) for name in METRICS],
        "first": _FIRST_TABLE,
        "goals": [_goal(name, goal, contenders) for name, goal in found["goals"].items()],
        "variants": [row for name, goal in found["goals"].items() for row in _added(name, goal, found["variants"])],
        "models": [(model["title"], model["about"]) for model in _models(found).values()],
    }


def contenders_of(found: Found) -> list[str]:
    """Return the names of the models that are compared: not those that are ours less something."""
    return [name for name in _models(found) if name not in found["variants"]]


def metric_title(name: str) -> str:
    """Name a metric, such as `NDCG@20`."""
    kind, _, cutoff = name.partition("_")
    return f"{kind.capitalize() if kind == 'recall' else kind.upper()}@{cutoff}"


def _models(found: Found) -> Found:
    models: Found = next(iter(found["goals"].values()))["models"]
    return models


def _goal(name: str, goal: Found, contenders: Sequence[str]) -> dict[str, Any]:
    unit = "sessions" if name == "view" else "shoppers"
    return {
        "title": f"Next {name}",
        "counts": f"{goal['transitions']:,} transitions of {goal['units']:,} {unit}",
        "comparison": _against_best_baseline(goal, contenders),
        "rows": [_row(goal, "all", model) for model in contenders],
        "cold_rows": [_row(goal, "cold", model) for model in contenders] if "cold" in goal else [],
        "cold_counts": f"{goal['cold_transitions']:,} of the transitions, {goal['unseen_transitions']:,} to items "
        "that nobody had seen",
    }


def _row(goal: Found, group: str, model: str) -> dict[str, Any]:
    described, measured = goal["models"][model], goal[group]["metrics"][model]
    return {
        "name": model,
        "title": described["title"],
        "cells": [_cell(measured[name], is_best=goal[group]["best"][name] == model) for name in METRICS],
        "differences": [_lead(goal, group, model, name) for name in (RECALL, _MRR)],
        "coverage": f"{100 * described[f'coverage_{LISTED}']:.1f} %",
        "popularity": f"{100 * described[f'popularity_{LISTED}']:.1f} %",
    }


def _cell(measured: Found, *, is_best: bool = False) -> dict[str, Any]:
    return {
        "value": number(RECALL, measured["value"]),
        "interval": interval(RECALL, measured["interval"]),
        "best": is_best,
    }


def _lead(goal: Found, group: str, model: str, metric: str) -> dict[str, Any]:
    """Return how far ours is ahead of a model; empty for ours."""
    if model == OURS:
        return {"value": "", "interval": "", "best": False}
    value, ends = _ahead(goal[group]["differences"][model][metric])
    return {"value": difference(value), "interval": _ends(ends), "best": False}


def _ahead(less_ours: Found) -> tuple[float, list[float] | None]:
    """Turn another's value less ours into ours less the other's."""
    ends = less_ours["interval"]
    return 0.0 - less_ours["value"], None if ends is None else [0.0 - ends[1], 0.0 - ends[0]]  # 0.0, not -0.0


def _ends(ends: list[float] | None) -> str:
    return "" if ends is None else f"{difference(ends[0])} to {difference(ends[1])}"


def _against_best_baseline(goal: Found, contenders: Sequence[str]) -> dict[str, str] | None:
    """Compare with the baseline of the highest recall by the interval of the paired difference."""
    baselines = [model for model in contenders if model != OURS]
    if not baselines:
        return None
    best = max(baselines, key=lambda model: goal["all"]["metrics"][model][RECALL]["value"])
    value, ends = _ahead(goal["all"]["differences"][best][RECALL])
    title = goal["models"][best]["title"]
    if ends is None or ends[0] <= 0 <= ends[1]:
        kind, words = "even", f"No clear difference from the best baseline, {title}"
    else:
        kind, words = ("better", "Better than") if ends[0] > 0 else ("worse", "Worse than")
        words += f" the best baseline, {title}"
    numbers = f"{metric_title(RECALL)} {difference(value)}" + (f" ({_ends(ends)})" if ends else "")
    return {"kind": kind, "words": words, "numbers": numbers}


def _added(name: str, goal: Found, variants: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per kind of what the catalogue says: the metrics without it, and what it adds."""
    return [
        {
            "goal": f"Next {name}",
            "title": goal["models"][variant]["title"].removeprefix("Cartcast "),
            "cells": [
                cell
                for group, metric in (("all", RECALL), ("all", _MRR), ("cold", RECALL))
                for cell in _with_and_without(goal, group, variant, metric)
            ],
        }
        for variant in variants
    ]


def _with_and_without(goal: Found, group: str, variant: str, metric: str) -> list[dict[str, Any]]:
    if group not in goal:
        return [{"value": "-", "interval": "", "best": False}] * 2
    return [_cell(goal[group]["metrics"][variant][metric]), _lead(goal, group, variant, metric)]
