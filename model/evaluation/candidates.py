"""The candidates: the checkpoint, the checkpoint without the words, and the baselines."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from model.arrays import Floats, Integers
from model.checkpoint import Checkpoint
from model.comparison import Predictions
from model.evaluation.baselines import Baseline, BaseRate, Fitted, GradientBoosting, LogisticRegression, Sample
from model.evaluation.test_set import EvaluationSet
from model.evaluation.textbook import TextbookLSTM
from model.events import parse_time_ms
from model.metrics import best_thresholds
from model.training.calibrate import fit_calibration
from model.training.history import History
from model.training.predict import calibrated, predict_logits
from service.errors import EvaluationError

MODEL: Final = "cartcast"
WITHOUT_TEXT: Final = "cartcast_without_text"
WITHOUT_IDENTITIES: Final = "cartcast_without_identities"

Progress = Callable[[float, str], None]
"""Takes the share that is done, and a short text."""


def with_weights_from_before(checkpoint: Checkpoint, from_ms: int, notes: list[str]) -> Checkpoint:
    """Return the checkpoint with the weights that were not trained on events from `from_ms` on, if it has such.

    A note says which weights are measured.
    """
    training = checkpoint.training
    learnt_until = training.get("last_event")
    if checkpoint.earlier is not None and _is_later(learnt_until, from_ms):
        learnt_until = training.get("test_from")
        checkpoint = replace(checkpoint, model=checkpoint.earlier)
        notes.append(
            f"Measured on what the same recipe makes of the events before {learnt_until}, without a fifth of the "
            "users: the served weights have learnt from all."
        )
    if _is_later(learnt_until, from_ms):
        notes.append(
            f"This model has learnt from events until {learnt_until}, and the evaluated time begins earlier: what is "
            "said of it here flatters it. Evaluate later events."
        )
    return checkpoint


def _is_later(time: str | None, than_ms: int) -> bool:
    return time is not None and parse_time_ms(time) > than_ms


def the_model(checkpoint: Checkpoint, test_set: EvaluationSet, notes: list[str], name: str = MODEL) -> Predictions:
    """Score with the checkpoint; a note says if it has no thresholds."""
    return Predictions(
        name,
        f"Cartcast {checkpoint.version}",
        "the checkpoint: one step an event from a carried state, calibrated",
        _propensities(checkpoint, test_set.history, test_set.rows),
        _thresholds(checkpoint, test_set, notes),
    )


def the_others(others: Sequence[Checkpoint], test_set: EvaluationSet, notes: list[str]) -> list[Predictions]:
    """Score with further checkpoints; raises EvaluationError for one that does not predict the same."""
    found, from_ms = [], test_set.examples.split.test_from_ms
    for number, other in enumerate(others, 2):
        said = list[str]()
        config = other.model.config
        if config.horizons != test_set.horizons or config.shop != test_set.history.shop:
            raise EvaluationError(
                f"{other.version} cannot be compared: it has other horizons, or another shop's definition, than the "
                "first checkpoint"
            )
        measured = with_weights_from_before(other, from_ms, said)
        found.append(the_model(measured, test_set, said, f"{MODEL}_{number}"))
        notes.extend(f"{other.version}: {note}" for note in said)
    return found


def without_text(checkpoint: Checkpoint, test_set: EvaluationSet, ours: Predictions) -> list[Predictions]:
    """Score again without the words of searches and reviews; empty if there are none."""
    history = test_set.history
    if not history.tokens.any():
        return []
    wordless = replace(history, tokens=np.broadcast_to(np.uint16(0), history.tokens.shape))
    about = "the same weights, the words of searches and reviews hidden from them when they score, calibrated anew"
    logits = predict_logits(checkpoint.model, wordless, np.arange(len(wordless)))
    examples, calibration, thresholds = test_set.examples, checkpoint.calibration, ours.thresholds
    if len(rows := np.flatnonzero(examples.validation.any(axis=1))):
        bought, known = examples.bought[rows], examples.validation[rows]
        calibration = fit_calibration(logits[rows], bought, known, history.users[rows])
        thresholds = best_thresholds(calibrated(logits[rows], calibration), bought, known)
    propensities = calibrated(logits[test_set.rows], calibration)
    return [Predictions(WITHOUT_TEXT, "Cartcast, words hidden", about, propensities, thresholds)]


def without_identities(
    checkpoint: Checkpoint, test_set: EvaluationSet, ours: Predictions, apart: History
) -> Predictions:
    """Score again as if nobody knew which ids are whose; `apart` is the history read so."""
    wanted, by_row = test_set.history.rows[test_set.rows], np.argsort(apart.rows)
    places = by_row[np.searchsorted(apart.rows, wanted, sorter=by_row).clip(max=len(apart) - 1)]
    found = _propensities(checkpoint, apart, places)
    is_there = apart.rows[places] == wanted  # else it is a repeat of one under the other id
    propensities = np.where(is_there[:, None], found, ours.propensities)
    about = "the same weights, an event under an anonymous id and one under the user's taken for those of two shoppers"
    return Predictions(WITHOUT_IDENTITIES, "Cartcast, ids apart", about, propensities, ours.thresholds)


def fitted_baselines(
    test_set: EvaluationSet, seed: int, most_events: int, notes: list[str], progress: Progress
) -> list[Predictions]:
    """Fit every baseline on the events before the evaluated time; if they are too few, none and a note."""
    examples, random = test_set.examples, np.random.default_rng(seed)
    train = Sample.of(examples.bought, examples.learnt, most_events, random)
    validation = Sample.of(examples.bought, examples.validation, most_events, random)
    everything = Sample.of(examples.bought, examples.learnt_before_test, most_events, random)
    try:
        train.check("training", test_set.horizons)
        validation.check("validation", test_set.horizons)
    except EvaluationError as lack:
        notes.append(f"There are no baselines to compare with: before the evaluated time, {lack}.")
        return []
    if len(everything.rows) == most_events:
        notes.append(f"The baselines learnt from a random choice of {most_events:,} events.")
    fitted = []
    for number, baseline in enumerate(chosen := _chosen(seed)):
        progress(number / len(chosen), baseline.title.lower())
        found = Fitted.of(baseline, test_set.history, train, validation, everything)
        propensities = found.propensities(test_set.rows)
        fitted.append(Predictions(baseline.name, baseline.title, baseline.about, propensities, found.thresholds))
    return fitted


def _chosen(seed: int) -> list[Baseline]:
    return [BaseRate(), LogisticRegression(), GradientBoosting(seed), TextbookLSTM(seed)]


def _propensities(checkpoint: Checkpoint, history: History, rows: Integers) -> Floats:
    return calibrated(predict_logits(checkpoint.model, history, np.arange(len(history)))[rows], checkpoint.calibration)


def _thresholds(checkpoint: Checkpoint, test_set: EvaluationSet, notes: list[str]) -> list[float] | None:
    """Return the checkpoint's thresholds, or those of the validation part of these data."""
    stored = checkpoint.training.get("thresholds", {})
    if all(horizon in stored for horizon in test_set.horizons):
        return [float(stored[horizon]) for horizon in test_set.horizons]
    examples = test_set.examples
    rows = np.flatnonzero(examples.validation.any(axis=1))
    if not len(rows):
        notes.append(
            "The checkpoint holds no thresholds, and there is no validation part to choose them on: no accuracy, "
            "precision, recall and F1."
        )
        return None
    return best_thresholds(
        _propensities(checkpoint, test_set.history, rows), examples.bought[rows], examples.validation[rows]
    )
