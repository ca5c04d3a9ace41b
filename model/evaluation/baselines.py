"""Baselines: simple models on the same split and the same streaming features, calibrated in the same way.

They get samples of the training and the validation part and nothing else: fitted on the first, selected and calibrated
on the second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.events import EVENT_TYPES
from model.propensities import log_odds
from model.ranking import losses_of
from model.training.calibrate import fit_calibration
from model.training.history import History
from model.training.predict import calibrated
from service.errors import EvaluationError

MIN_EXAMPLES: Final = 20
"""Each class of each horizon needs this many events in a part."""
_PENALTIES: Final = (0.001, 0.01, 0.1)
"""Inverse regularisation strengths of the logistic regression, selected on the validation part."""
_MIN_LEAF_EVENTS: Final = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a history with their labels."""

    rows: Integers
    bought: Booleans
    known: Booleans
    """`(rows, horizons)`; unknown labels are False in `bought` too."""

    @classmethod
    def of(cls, bought: Booleans, known: Booleans, most: int, random: np.random.Generator) -> Self:
        """Take the rows with a known label `(events, horizons)`; a random sample if there are more than `most`."""
        rows = np.flatnonzero(known.any(axis=1))
        if len(rows) > most:
            rows = np.sort(random.choice(rows, most, replace=False))
        return cls(rows, bought[rows] & known[rows], known[rows])

    def check(self, part: str, horizons: Sequence[str]) -> None:
        """Raise EvaluationError unless every horizon has enough events of both classes."""
        for column, horizon in enumerate(horizons):
            bought, known = int(self.bought[:, column].sum()), int(self.known[:, column].sum())
            if not MIN_EXAMPLES <= bought <= known - MIN_EXAMPLES:
                raise EvaluationError(
                    f"of the {known} events of the {part} part {bought} are followed by a purchase (horizon {horizon}),"
                    f" and at least {MIN_EXAMPLES} must be and {MIN_EXAMPLES} must not"
                )


LogitsOf = Callable[[Integers], Floats]
"""Takes rows of the history, returns logits `(rows, horizons)`."""


class Baseline(Protocol):
    """A simple model to compare with."""

    name: str
    title: str
    about: str

    def fit(self, history: History, train: Sample, validation: Sample) -> LogitsOf:
        """Fit on `train`, select on `validation`."""


def tabular(history: History, rows: Integers) -> npt.NDArray[np.float32]:
    """Return the streaming features and the one-hot event type `(rows, features)`."""
    flags = history.type_codes[rows, None] == np.arange(len(EVENT_TYPES))
    return np.concatenate((history.numeric[rows], flags.astype(np.float32)), axis=1)


def calibrated_on(fitted: LogitsOf, validation: Sample) -> Callable[[Integers], Floats]:
    """Return the function from rows to propensities, calibrated on the validation part as every checkpoint is."""
    calibration = fit_calibration(fitted(validation.rows), validation.bought, validation.known)
    return lambda rows: calibrated(fitted(rows), calibration)


class BaseRate:
    """The same probability for every event."""

    name = "base_rate"
    title = "Base rate"
    about = "the share of events that a purchase followed before the evaluated time, for every event alike"

    def fit(self, history: History, train: Sample, validation: Sample) -> LogitsOf:  # noqa: ARG002 - looks at labels only
        bought = train.bought.sum(axis=0) + validation.bought.sum(axis=0)
        known = train.known.sum(axis=0) + validation.known.sum(axis=0)
        logits = log_odds(bought / np.maximum(known, 1))
        return lambda rows: np.tile(logits, (len(rows), 1))


class LogisticRegression:
    """One logistic regression per horizon."""

    name = "logistic_regression"
    title = "Logistic regression"
    about = "the streaming features and the event's type, standardised; penalty chosen on the validation part"

    def fit(self, history: History, train: Sample, validation: Sample) -> LogitsOf:
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - slow to import

        scaler = StandardScaler().fit(tabular(history, train.rows))
        inputs, validation_inputs = (scaler.transform(tabular(history, part.rows)) for part in (train, validation))
        fitted = [
            _best_penalty(
                inputs[known], bought[known], validation_inputs[validation_known], validation_bought[validation_known]
            )
            for bought, known, validation_bought, validation_known in _columns(train, validation)
        ]

        def logits(rows: Integers) -> Floats:
            scaled = scaler.transform(tabular(history, rows))
            return np.stack([one.decision_function(scaled) for one in fitted], axis=1).astype(np.float64)

        return logits


def _best_penalty(
    inputs: npt.NDArray[np.float32],
    bought: Booleans,
    validation_inputs: npt.NDArray[np.float32],
    validation_bought: Booleans,
) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn import linear_model  # noqa: PLC0415

    tried = [
        linear_model.LogisticRegression(C=penalty, solver="newton-cholesky").fit(inputs, bought)
        for penalty in _PENALTIES
    ]
    return min(tried, key=lambda one: losses_of(one.predict_proba(validation_inputs)[:, 1], validation_bought).mean())


@dataclass(frozen=True)
class GradientBoosting:
    """Gradient-boosted shallow trees, one ensemble per horizon."""

    name = "gradient_boosting"
    title = "Gradient boosting"
    about = "scikit-learn's HistGradientBoostingClassifier on the same features; number of trees chosen on validation"

    seed: int
    most_trees: int = 100

    def fit(self, history: History, train: Sample, validation: Sample) -> LogitsOf:
        inputs, validation_inputs = tabular(history, train.rows), tabular(history, validation.rows)
        fitted = [
            self._fit_one(
                inputs[known], bought[known], validation_inputs[validation_known], validation_bought[validation_known]
            )
            for bought, known, validation_bought, validation_known in _columns(train, validation)
        ]
        return lambda rows: np.stack([one(tabular(history, rows)) for one in fitted], axis=1)

    def _fit_one(
        self,
        inputs: npt.NDArray[np.float32],
        bought: Booleans,
        validation_inputs: npt.NDArray[np.float32],
        validation_bought: Booleans,
    ) -> Callable[[npt.NDArray[np.float32]], Floats]:
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - slow to import

        def trees(count: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
            return HistGradientBoostingClassifier(
                max_iter=count,
                max_leaf_nodes=15,
                min_samples_leaf=_MIN_LEAF_EVENTS,
                early_stopping=False,
                random_state=self.seed,
            ).fit(inputs, bought)

        # The validation loss after each number of trees; then a model with the best number.
        losses = [
            losses_of(stage[:, 1], validation_bought).mean()
            for stage in trees(self.most_trees).staged_predict_proba(validation_inputs)
        ]
        chosen = trees(int(np.argmin(losses)) + 1)
        return lambda rows: log_odds(chosen.predict_proba(rows)[:, 1].astype(np.float64))


def _columns(train: Sample, validation: Sample) -> list[tuple[Booleans, Booleans, Booleans, Booleans]]:
    """Return, for each horizon, `bought` and `known` of both parts, each `(rows,)`."""
    return list(zip(train.bought.T, train.known.T, validation.bought.T, validation.known.T, strict=True))
