"""Evaluation: a checkpoint beside its baselines, on events that none of them was trained on.

Without a time the test part of the checkpoint's own split is evaluated; with one, the events from then on, and the
baselines are trained on those before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from model.checkpoint import Checkpoint
from model.comparison import TOTAL, KnownLabels, Predictions, compare, rank
from model.evaluation.candidates import (
    Progress,
    fitted_baselines,
    the_model,
    the_others,
    with_weights_from_before,
    without_identities,
    without_text,
)
from model.evaluation.curves import curves_of
from model.evaluation.test_set import AFTER_LOGIN, ALL_USERS, EvaluationSet, split_of
from model.events import rfc3339
from model.training.examples import hidden_users
from model.training.history import History
from model.training.money import MoneyHoldout


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation."""

    after_ms: int | None = None
    """Evaluate what happens from this time on; without it, the test part of the checkpoint's split."""
    baselines: bool = True
    replicas: int = 200
    """Bootstrap resamples for the intervals."""
    seed: int = 1
    most_training_events: int = 200_000
    """Baselines are trained on a random sample of this many events if there are more."""
    threads: int = 1


def evaluate_checkpoint(  # noqa: PLR0913 - what is measured, on what, beside what
    history: History,
    checkpoint: Checkpoint,
    settings: EvaluationSettings,
    progress: Progress,
    *,
    others: Sequence[Checkpoint] = (),
    apart: Callable[[], History] | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint and its baselines; returns what report.json holds (docs/evaluation.md).

    `others` are measured on the same events. `apart` reads the history once more without following identities; it is
    called if there are any, and tells what they are worth after a log-in. Next items, which need journeys, are measured
    apart (`model.evaluation.next_items.recipe`). Raises EvaluationError if there is nothing to measure, or another
    checkpoint does not predict the same.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # noqa: PLC0415 - as scikit-learn

    shop, split = checkpoint.model.config.shop, split_of(history, checkpoint, settings.after_ms)
    notes = list[str]()
    measured = with_weights_from_before(checkpoint, split.test_from_ms, notes)
    # What was hidden from the measured weights is hidden from the baselines.
    hidden = hidden_users(history) & (measured is not checkpoint)
    test_set = EvaluationSet.of(history, split, hidden, checkpoint.model.config.horizons)
    with threadpool_limits(settings.threads):
        progress(0.02, "the model")
        ours = the_model(measured, test_set, notes)
        beside = the_others(others, test_set, notes)
        ablations = {ALL_USERS: without_text(measured, test_set, ours)}
        if apart is not None and len(history.logins):
            ablations[AFTER_LOGIN] = [without_identities(measured, test_set, ours, apart())]
        baselines = _baselines(test_set, settings, notes, progress) if settings.baselines else []
        slices = _slices([ours, *beside, *baselines], ablations, test_set, settings, progress)
        money = _money(measured, test_set, settings, notes)
    progress(1.0, "done")
    return {
        "checkpoint": _described(checkpoint),
        "data": _data(test_set),
        "horizons": list(test_set.horizons),
        "titles": {name: shop.title(name) for name in test_set.horizons} | {TOTAL: "Mean of the horizons"},
        "goals": {name: shop.goal(name).words for name in test_set.horizons if name in shop.goals},
        "models": [
            _introduced(model, test_set.horizons) for model in (ours, *beside, *baselines, *chain(*ablations.values()))
        ],
        "slices": slices,
        "curves": {model.name: _curves(model, test_set.labels) for model in (ours, *beside, *baselines)},
        "money": money,
        "text": _text(test_set, checkpoint),
        "next_items": None,
        "notes": notes,
        "settings": {"replicas": settings.replicas, "seed": settings.seed},
    }


def _baselines(
    test_set: EvaluationSet, settings: EvaluationSettings, notes: list[str], progress: Progress
) -> list[Predictions]:
    return fitted_baselines(
        test_set,
        settings.seed,
        settings.most_training_events,
        notes,
        lambda share, words: progress(0.1 + 0.6 * share, words),
    )


def _slices(
    models: list[Predictions],
    ablations: Mapping[str, list[Predictions]],
    test_set: EvaluationSet,
    settings: EvaluationSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Compare the models in each group of events, with what is hidden from the first one in that group."""
    slices: dict[str, Any] = {}
    for name, title, rows in test_set.slices():
        progress(0.7 + 0.05 * len(slices), f"intervals: {title.lower()}")
        compared = [model.where(rows) for model in (*models, *ablations.get(name, ()))]
        labels = test_set.labels.where(rows)
        found = compare(compared, labels, settings.replicas, settings.seed, rivals=len(models))
        slices[name] = {"title": title} | found
    return slices


def _money(
    measured: Checkpoint, test_set: EvaluationSet, settings: EvaluationSettings, notes: list[str]
) -> dict[str, Any] | None:
    """Return how true the expected values are; None for a model without them, or if nothing can be said of them."""
    if (money := measured.model.config.shop.money) is None:
        return None
    fold = test_set.examples.test_fold()
    if not np.nansum(fold.amounts) > 0 or not np.nansum(fold.training_set.amounts) > 0:
        notes.append(
            "There is nothing to compare expected values with: no purchase has a price, before or in the time."
        )
        return None
    holdout = MoneyHoldout.of(measured.model, fold.training_set, fold.spans, fold.amounts, settings.seed)
    return {"asked": money.words, "currency": money.currency, **holdout.measure(settings.seed)}


def _described(checkpoint: Checkpoint) -> dict[str, Any]:
    training, metrics = checkpoint.training, checkpoint.metrics
    return {
        "version": checkpoint.version,
        "training": {name: value for name, value in training.items() if name != "curves"},
        "training_curves": training.get("curves", []),
        "heads": metrics.get("heads") or metrics.get("test", {}).get("heads", {}),
    }


def _data(test_set: EvaluationSet) -> dict[str, Any]:
    history, split = test_set.history, test_set.examples.split
    return {
        **history.counts,
        "first_event": rfc3339(int(history.time_ms.min())),
        "last_event": rfc3339(split.end_ms),
        "evaluated_from": rfc3339(split.test_from_ms),
        "evaluated_events": len(test_set.rows),
    }


def _introduced(model: Predictions, horizons: Sequence[str]) -> dict[str, Any]:
    thresholds = None if model.thresholds is None else dict(zip(horizons, model.thresholds, strict=True))
    return {"name": model.name, "title": model.title, "about": model.about, "thresholds": thresholds}


def _curves(model: Predictions, labels: KnownLabels) -> dict[str, Any]:
    rankings = zip(labels.horizons, rank(model, labels), strict=True)
    return {horizon: curves_of(ranking) for horizon, ranking in rankings}


def _text(test_set: EvaluationSet, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return how many of the evaluated events have words, and the metrics of a model trained without them."""
    tokens = test_set.history.tokens
    return {
        "in_data": bool(tokens.any()),
        "events_with_words": int(tokens[test_set.rows].any(axis=1).sum()),
        "trained_without": checkpoint.training.get("ablation_no_text", {}),
    }
