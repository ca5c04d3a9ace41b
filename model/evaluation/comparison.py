"""Several models on the same events: their metrics, how far those can be trusted, and how far the models lie apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.evaluation.bootstrap import interval, numbered, replicate
from model.metrics import plain
from model.ranking import METRICS, Floats, Ranking
from model.training.labels import Booleans, Integers

TOTAL: Final = "total"
"""The mean over the horizons; unlike a pool of all labels it ranks no horizon against another."""
COMPARED: Final = ("roc_auc", "pr_auc", "log_loss", "brier")
"""Metrics of which a difference between models is told."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one model says of the evaluated rows."""

    name: str
    title: str
    about: str
    propensities: Floats
    """`(rows, horizons)`"""
    thresholds: Sequence[float] | None
    """By horizon, from which propensity on to expect a purchase."""

    def where(self, rows: Booleans) -> "Predictions":
        """Return the predictions of some rows."""
        return Predictions(self.name, self.title, self.about, self.propensities[rows], self.thresholds)


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known of the evaluated rows."""

    users: Integers
    bought: Booleans
    known: Booleans
    """`(rows, horizons)`"""
    horizons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.users)

    def where(self, rows: Booleans) -> "Answers":
        """Return what is known of some rows."""
        return Answers(self.users[rows], self.bought[rows], self.known[rows], self.horizons)


def compare(models: Sequence[Predictions], answers: Answers, replicas: int, seed: int) -> dict[str, Any]:
    """Return counts, each model's metrics a horizon with 95 % intervals, and how the first differs from the others."""
    users, count = numbered(answers.users)
    rankings = [ranking for model in models for ranking in rank(model, answers, users)]
    values = _with_total(np.stack([ranking.measure() for ranking in rankings])[None], len(models))[0]
    replicated = _with_total(replicate(rankings, count, replicas, seed), len(models))
    return {
        "users": count,
        "events": len(answers),
        "counts": _counts(answers),
        "models": {
            model.name: _of_horizons(answers.horizons, values[place], replicated[:, place])
            for place, model in enumerate(models)
        },
        "differences": {
            model.name: _differences(
                answers.horizons, values[0] - values[place], replicated[:, 0] - replicated[:, place]
            )
            for place, model in enumerate(models)
            if place
        },
    }


def rank(model: Predictions, answers: Answers, users: Integers | None = None) -> list[Ranking]:
    """Return one ranking a horizon, of the events whose label is known; `users` are numbers in place of the users."""
    users = answers.users if users is None else users
    return [
        Ranking.of(
            model.propensities[known, column],
            answers.bought[known, column],
            users[known],
            None if model.thresholds is None else model.thresholds[column],
        )
        for column, known in enumerate(answers.known.T)
    ]


def _with_total(measured: Floats, models: int) -> Floats:
    """Turn `(replicas, models * horizons, metrics)` into `(replicas, models, horizons + 1, metrics)`."""
    by_model = measured.reshape(len(measured), models, measured.shape[1] // models, measured.shape[2])
    return np.concatenate((by_model, by_model.mean(axis=2, keepdims=True)), axis=2)


def _counts(answers: Answers) -> dict[str, dict[str, int]]:
    known = answers.known
    return {
        horizon: {
            "events": int(known[:, column].sum()),
            "positives": int((answers.bought & known)[:, column].sum()),
            "users": len(np.unique(answers.users[known[:, column]])),
        }
        for column, horizon in enumerate(answers.horizons)
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
