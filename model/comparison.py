"""Several models on the same events: their metrics and differences, with bootstrap confidence intervals over users.

Users are resampled, not events, because one user's events resemble each other (Davison and Hinkley, "Bootstrap methods
and their application", 1997, section 3.8). All models are measured on the same resamples, so that the difference of two
models has an interval of its own, which is much narrower than theirs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.metrics import plain
from model.ranking import LOWER_IS_BETTER, METRICS, Ranking

TOTAL: Final = "total"
"""The mean over the horizons; unlike pooling all labels, it does not rank events across horizons."""
COMPARED: Final = ("roc_auc", "pr_auc", "log_loss", "brier")
"""Metrics whose differences between models are reported."""

COVERED: Final = 0.95
_MIN_REPLICAS: Final = 20
"""With fewer finite values there is no 95 % interval."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """One model's predictions for the evaluated rows."""

    name: str
    title: str
    about: str
    propensities: Floats
    """`(rows, horizons)`"""
    thresholds: Sequence[float] | None
    """By horizon: from this propensity on a purchase is expected."""

    def where(self, rows: Booleans) -> "Predictions":
        """Return the predictions for the rows that the mask selects."""
        return Predictions(self.name, self.title, self.about, self.propensities[rows], self.thresholds)


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """Labels of the evaluated rows."""

    users: Integers
    bought: Booleans
    known: Booleans
    """`(rows, horizons)`"""
    horizons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.users)

    def where(self, rows: Booleans) -> "KnownLabels":
        """Return the labels of the rows that the mask selects."""
        return KnownLabels(self.users[rows], self.bought[rows], self.known[rows], self.horizons)


def compare(
    models: Sequence[Predictions], labels: KnownLabels, replicas: int, seed: int, *, rivals: int = 0
) -> dict[str, Any]:
    """Return counts, metrics by model and horizon with 95 % intervals, and how the first model differs.

    Of the first `rivals` models also by horizon and metric which one is best, if that is no chance.
    """
    users, count = numbered(labels.users)
    # (models, horizons + 1, metrics), and the same with (replicas, ...) in front
    rankings = [ranking for model in models for ranking in rank(model, labels, users)]
    values = _with_total(np.stack([ranking.measure() for ranking in rankings])[None], len(models))[0]
    replicated = _with_total(replicate(rankings, count, replicas, seed), len(models))
    return {
        "users": count,
        "events": len(labels),
        "counts": _counts(labels),
        "models": {
            model.name: _of_horizons(labels.horizons, values[place], replicated[:, place])
            for place, model in enumerate(models)
        },
        "differences": {
            model.name: _differences(
                labels.horizons, values[0] - values[place], replicated[:, 0] - replicated[:, place]
            )
            for place, model in enumerate(models)
            if place
        },
        "best": _best([model.name for model in models[:rivals]], labels.horizons, values, replicated),
    }


def _best(
    names: Sequence[str], horizons: Sequence[str], values: Floats, replicated: Floats
) -> dict[str, dict[str, str | None]]:
    """Return the model whose difference from each other one has an interval without 0; None where there is none."""
    found = dict[str, dict[str, str | None]]()
    for row, horizon in enumerate((*horizons, TOTAL)):
        found[horizon] = {}
        for column, metric in enumerate(METRICS):
            sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
            models = slice(len(names))
            leader = clear_leader(sign * values[models, row, column], sign * replicated[:, models, row, column])
            found[horizon][metric] = None if leader is None else names[leader]
    return found


def clear_leader(gains: Floats, replicated: Floats) -> int | None:
    """Return the model that is better than each other one by the interval of their difference; None if none is.

    `gains` `(models,)` and their replicas `(replicas, models)` are the higher the better.
    """
    best = int(np.argmax(np.nan_to_num(gains, nan=-np.inf))) if len(gains) else 0
    ends = [interval(replicated[:, best] - replicated[:, other]) for other in range(len(gains)) if other != best]
    return best if ends and all(each is not None and each[0] > 0 for each in ends) else None


def verdicts(compared: dict[str, Any], other: str) -> dict[str, str]:
    """Return, by horizon, whether the first model of `compare` is `better`, `worse` or `no different` than another.

    It is better if the whole interval of the difference in PR AUC or in log loss says so, and neither says it is worse.
    """
    found = {}
    for horizon, differences in compared["differences"][other].items():
        gains = [differences["pr_auc"]["interval"], _negated(differences["log_loss"]["interval"])]
        is_better = any(interval is not None and interval[0] > 0 for interval in gains)
        is_worse = any(interval is not None and interval[1] < 0 for interval in gains)
        found[horizon] = "no different" if is_better == is_worse else "better" if is_better else "worse"
    return found


def _negated(interval: list[float] | None) -> list[float] | None:
    return None if interval is None else [-interval[1], -interval[0]]


def rank(model: Predictions, labels: KnownLabels, users: Integers | None = None) -> list[Ranking]:
    """Return one ranking per horizon, of the events with a known label; `users` replaces the labels' users."""
    users = labels.users if users is None else users
    return [
        Ranking.of(
            model.propensities[known, column],
            labels.bought[known, column],
            users[known],
            None if model.thresholds is None else model.thresholds[column],
        )
        for column, known in enumerate(labels.known.T)
    ]


def _with_total(measured: Floats, models: int) -> Floats:
    """Turn `(replicas, models * horizons, metrics)` into `(replicas, models, horizons + 1, metrics)`."""
    by_model = measured.reshape(len(measured), models, measured.shape[1] // models, measured.shape[2])
    return np.concatenate((by_model, by_model.mean(axis=2, keepdims=True)), axis=2)


def _counts(labels: KnownLabels) -> dict[str, dict[str, int]]:
    known = labels.known
    return {
        horizon: {
            "events": int(known[:, column].sum()),
            "positives": int((labels.bought & known)[:, column].sum()),
            "users": len(np.unique(labels.users[known[:, column]])),
        }
        for column, horizon in enumerate(labels.horizons)
    }


def _of_horizons(horizons: Sequence[str], values: Floats, replicated: Floats) -> dict[str, Any]:
    """Name values `(horizons + 1, metrics)` and replicas `(replicas, horizons + 1, metrics)`."""
    return {
        horizon: {name: plain(value) for name, value in zip(METRICS, values[row], strict=True)}
        | {"intervals": _each(METRICS, lambda metric, row=row: interval(replicated[:, row, metric]))}  # type: ignore[misc]
        for row, horizon in enumerate((*horizons, TOTAL))
    }


def _differences(horizons: Sequence[str], values: Floats, replicated: Floats) -> dict[str, Any]:
    return {
        horizon: _each(
            COMPARED,
            lambda metric, row=row: {  # type: ignore[misc]
                "value": plain(float(values[row, metric])),
                "interval": interval(replicated[:, row, metric]),
            },
        )
        for row, horizon in enumerate((*horizons, TOTAL))
    }


def _each(names: Sequence[str], value_of: Callable[[int], Any]) -> dict[str, Any]:
    return {name: value_of(METRICS.index(name)) for name in names}


def numbered(users: Integers) -> tuple[Integers, int]:
    """Renumber users from 0 without gaps; returns each event's user `(events,)` and the number of users."""
    distinct, numbers = np.unique(users, return_inverse=True)
    return numbers.astype(np.int64), len(distinct)


def replicate(rankings: Sequence[Ranking], users: int, replicas: int, seed: int) -> Floats:
    """Measure each ranking on each bootstrap resample of users `(replicas, rankings, len(METRICS))`.

    The rankings' users are numbers from 0 to `users` - 1. The same seed gives the same resamples. A single user cannot
    be resampled: there are no replicas.
    """
    random = np.random.default_rng(seed)
    values = np.empty((replicas if users > 1 else 0, len(rankings), len(METRICS)))
    for replica in range(len(values)):
        drawn = np.bincount(random.integers(users, size=users), minlength=users).astype(np.float64)
        for position, ranking in enumerate(rankings):
            values[replica, position] = ranking.measure(drawn[ranking.users])
    return values


def interval(values: Floats) -> list[float] | None:
    """Return the percentile interval of replicas `(replicas,)`; None if too few are finite."""
    finite = values[np.isfinite(values)]
    if len(finite) < max(_MIN_REPLICAS, len(values) // 2):
        return None
    low, high = np.quantile(finite, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return [float(low), float(high)]
