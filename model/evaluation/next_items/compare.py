"""Several models at the same transitions: metrics, and differences from a rival with paired intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.arrays import Floats, Integers
from model.comparison import clear_leader, interval, numbered
from model.evaluation.next_items.metrics import COLD_BELOW, LISTED, METRICS, gains, replicate_means
from model.evaluation.next_items.protocol import NextItemModel
from model.evaluation.next_items.ranked import Shelf, ranks_of
from model.events import rfc3339
from model.items.journeys import Journeys
from model.items.targets import GOALS, Transitions
from service.errors import EvaluationError

REPLICAS: Final = 500
MOST_TRANSITIONS: Final = 50_000

Progress = Callable[[float, str], None]
"""Takes the share that is done, and a short text."""


def compare_next_items(  # noqa: PLR0913 - what is compared has no default
    models: Sequence[NextItemModel],
    journeys: Journeys,
    split_ms: int,
    *,
    rival: str,
    variants: Sequence[NextItemModel] = (),
    goals: Sequence[str] = GOALS,
    added_ms: Integers | None = None,
    most_transitions: int = MOST_TRANSITIONS,
    replicas: int = REPLICAS,
    seed: int = 1,
    progress: Progress = lambda _share, _text: None,
) -> dict[str, Any]:
    """Fit models on what is before the split, measure them on the transitions after it, and say how each differs.

    All items with an event before the split are candidates, or a catalogue's, the journeys' first items, each of them
    since `added_ms` `(items of the catalogue,)`. A target that is none is missed by every model. Cold targets (fewer
    than COLD_BELOW events to learn from) are measured apart, too. If there are more than `most_transitions`, whole
    sessions are drawn. Differences are a model's value less the rival's; their 95 % intervals come from resampling
    sessions, or, where a target may lie in another session, shoppers. By the same intervals a model is best in a
    metric, or none is. `variants` are measured with the others, but cannot be best: they are one of the models less
    something. Raises EvaluationError if nothing can be compared.
    """
    training = journeys.before(split_ms)
    if not len(training):
        raise EvaluationError(f"there are no events with an item before {rfc3339(split_ms)}: nothing to learn from")
    shelf = Shelf.of(training, added_ms)
    found, everything = {}, (*models, *variants)
    for number, goal in enumerate(goals):
        transitions, units = _drawn(Transitions.of(journeys, goal, split_ms), goal, most_transitions, seed)
        if not len(transitions):
            continue  # a shop need not have carts
        ranked = []
        for place, model in enumerate(everything):
            progress((number + place / len(everything)) / len(goals), f"{goal}: {model.title}")
            ranked.append(_Ranked.of(model, training, goal, transitions, shelf))
        found[goal] = _of_goal(ranked, transitions, units, shelf, rival, len(models), replicas, seed)
    if not found:
        raise EvaluationError(f"no event at or after {rfc3339(split_ms)} is followed by another: nothing to compare on")
    return {
        "split": rfc3339(split_ms),
        "training_events": len(training),
        "items": int(shelf.is_candidate.sum()),
        "rival": rival,
        "goals": found,
    }


def _drawn(transitions: Transitions, goal: str, most: int, seed: int) -> tuple[Transitions, Integers]:
    """Return at most about so many transitions, of whole units, and the unit of each, numbered from 0."""
    journeys, rows = transitions.queries.journeys, transitions.queries.rows
    units, count = numbered((journeys.sessions if goal == "view" else journeys.users)[rows])
    if len(rows) <= most:
        return transitions, units
    order = np.random.default_rng(seed).permutation(count)
    sizes = np.bincount(units, minlength=count)[order]
    is_drawn = np.zeros(count, np.bool_)
    is_drawn[order[: max(1, int(np.searchsorted(np.cumsum(sizes), most, side="right")))]] = True
    kept = np.flatnonzero(is_drawn[units])
    return transitions.where(kept), numbered(units[kept])[0]


@dataclass(frozen=True, slots=True)
class _Ranked:
    """What one model did at the transitions of one goal."""

    model: NextItemModel
    gains: Floats
    """`(transitions, len(METRICS))`"""
    listed: Integers
    """How often each item was among the first LISTED `(items,)`."""

    @classmethod
    def of(
        cls, model: NextItemModel, training: Journeys, goal: str, transitions: Transitions, shelf: Shelf
    ) -> "_Ranked":
        listed = np.zeros(len(shelf.events), np.int64)
        ranks = ranks_of(model.fit(training, goal), transitions, shelf, listed)
        return cls(model, gains(ranks), listed)

    def described(self, shelf: Shelf) -> dict[str, Any]:
        """Say how much of the shop is recommended, and how popular that is.

        Popularity is that of Ludewig and Jannach (2018): an item's share of the events of the most popular one, on
        average over what is recommended.
        """
        most = max(int(shelf.events.max(initial=0)), 1)
        return {
            "title": self.model.title,
            "about": self.model.about,
            f"coverage_{LISTED}": float((self.listed > 0).sum() / max(shelf.is_candidate.sum(), 1)),
            f"popularity_{LISTED}": float(self.listed @ shelf.events / most / max(self.listed.sum(), 1)),
        }


def _of_goal(  # noqa: PLR0913, PLR0917 - all that was found
    ranked: Sequence[_Ranked],
    transitions: Transitions,
    units: Integers,
    shelf: Shelf,
    rival: str,
    contenders: int,
    replicas: int,
    seed: int,
) -> dict[str, Any]:
    events = shelf.events[transitions.targets]
    is_cold = events < COLD_BELOW
    groups = {"all": np.arange(len(transitions)), "cold": np.flatnonzero(is_cold)}
    return {
        "transitions": len(transitions),
        "units": int(units.max(initial=-1)) + 1,
        "cold_transitions": int(is_cold.sum()),
        "unseen_transitions": int((events == 0).sum()),
        "models": {one.model.name: one.described(shelf) for one in ranked},
        **{
            name: _measured(ranked, rows, numbered(units[rows])[0], rival, contenders, replicas, seed)
            for name, rows in groups.items()
            if len(rows)
        },
    }


def _measured(  # noqa: PLR0913, PLR0917 - as above
    ranked: Sequence[_Ranked], rows: Integers, units: Integers, rival: str, contenders: int, replicas: int, seed: int
) -> dict[str, Any]:
    """Return the metrics of each model on some transitions, its differences from the rival, and which one is best."""
    names = [one.model.name for one in ranked]
    values = np.concatenate([one.gains[rows] for one in ranked], axis=1)  # (transitions, models * metrics)
    replicated = replicate_means(values, units, replicas, seed).reshape(-1, len(ranked), len(METRICS))
    means = values.mean(axis=0).reshape(len(ranked), len(METRICS))
    other = names.index(rival)
    return {
        "metrics": {name: _each(means[place], replicated[:, place]) for place, name in enumerate(names)},
        "differences": {
            name: _each(means[place] - means[other], replicated[:, place] - replicated[:, other])
            for place, name in enumerate(names)
            if place != other
        },
        "best": {
            metric: None if leader is None else names[leader]
            for column, metric in enumerate(METRICS)
            for leader in [clear_leader(means[:contenders, column], replicated[:, :contenders, column])]
        },
    }


def _each(values: Floats, replicated: Floats) -> dict[str, Any]:
    """Name values `(metrics,)` and their intervals from replicas `(replicas, metrics)`."""
    return {
        name: {"value": float(values[place]), "interval": interval(replicated[:, place])}
        for place, name in enumerate(METRICS)
    }
