"""Baselines: simple models on the same split and the same streaming features, calibrated in the same way.

They get samples of what comes before the test part and nothing else. Choices and calibration are made on the validation
part, by models of what comes before it; then they are fitted again, with the same choices, on everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.events import EVENT_TYPES
from model.metrics import best_thresholds
from model.propensities import log_odds
from model.ranking import losses_of
from model.training.calibrate import fit_calibration, slopes_only
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
                    f"of the {known} events of the {part} part {bought} are followed by what {horizon} asks for, and "
                    f"at least {MIN_EXAMPLES} must be and {MIN_EXAMPLES} must not"
                )


LogitsOf = Callable[[Integers], Floats]
"""Takes rows of the history, returns logits `(rows, horizons)`."""


class Baseline(Protocol):
    """A simple model to compare with."""

    name: str
    title: str
    about: str

    def choose(self, history: History, train: Sample, validation: Sample) -> Any:  # noqa: ANN401 - its own
        """Fit on `train` and return the choices that are best on `validation`."""

    def fit(self, history: History, sample: Sample, choices: Any) -> LogitsOf:  # noqa: ANN401
        """Fit with these choices."""


def tabular(history: History, rows: Integers) -> npt.NDArray[np.float32]:
    """Return the streaming features and the one-hot event type `(rows, features)`."""
    flags = history.type_codes[rows, None] == np.arange(len(EVENT_TYPES))
    return np.concatenate((history.numeric[rows], flags.astype(np.float32)), axis=1)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A baseline that has learnt from everything before the test part."""

    propensities: Callable[[Integers], Floats]
    """Takes rows of the history, returns `(rows, horizons)`."""
    thresholds: list[float]
    """By horizon, of the best F1 on the validation part."""

    @classmethod
    def of(cls, baseline: Baseline, history: History, train: Sample, validation: Sample, everything: Sample) -> Self:
        """Choose, calibrate and set thresholds on the validation part, then fit on everything before the test part.

        Of the calibration the slopes are kept: the level is known to what has learnt from the validation part too.
        """
        choices = baseline.choose(history, train, validation)
        logits = baseline.fit(history, train, choices)(validation.rows)
        calibration = fit_calibration(logits, validation.bought, validation.known)
        thresholds = best_thresholds(calibrated(logits, calibration), validation.bought, validation.known)
        fitted = baseline.fit(history, everything, choices)
        slopes = slopes_only(calibration, fitted(everything.rows))
        return cls(lambda rows: calibrated(fitted(rows), slopes), thresholds)


class BaseRate:
    """The same probability for every event."""

    name = "base_rate"
    title = "Base rate"
    about = "the share of events that a purchase followed before the evaluated time, for every event alike"

    def choose(self, history: History, train: Sample, validation: Sample) -> None:
        """Return: there is nothing to choose."""

    def fit(self, history: History, sample: Sample, choices: None) -> LogitsOf:  # noqa: ARG002 - looks at labels only
        logits = log_odds(sample.bought.sum(axis=0) / np.maximum(sample.known.sum(axis=0), 1))
        return lambda rows: np.tile(logits, (len(rows), 1))


class LogisticRegression:
    """One logistic regression per horizon."""

    name = "logistic_regression"
    title = "Logistic regression"
    about = "the streaming features and the event's type, standardised; penalty chosen on the validation part"

    def choose(self, history: History, train: Sample, validation: Sample) -> list[float]:
        """Return each horizon's best penalty."""
        tried = [self.fit(history, train, [penalty] * train.known.shape[1])(validation.rows) for penalty in _PENALTIES]
        losses = [_losses(logits, validation) for logits in tried]
        return [_PENALTIES[best] for best in np.argmin(losses, axis=0)]

    def fit(self, history: History, sample: Sample, choices: list[float]) -> LogitsOf:
        from sklearn.linear_model import LogisticRegression as OfOneHorizon  # noqa: PLC0415 - slow to import
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

        inputs = tabular(history, sample.rows)
        scaler = StandardScaler().fit(inputs)
        scaled_inputs = scaler.transform(inputs)
        fitted = [
            OfOneHorizon(C=penalty, solver="newton-cholesky").fit(scaled_inputs[known], bought[known])
            for penalty, bought, known in zip(choices, sample.bought.T, sample.known.T, strict=True)
        ]

        def logits(rows: Integers) -> Floats:
            scaled = scaler.transform(tabular(history, rows))
            return np.stack([one.decision_function(scaled) for one in fitted], axis=1).astype(np.float64)

        return logits


def _losses(logits: Floats, sample: Sample) -> list[float]:
    """Return each horizon's log loss on its known labels."""
    probabilities = 1.0 / (1.0 + np.exp(-logits))
    return [
        float(losses_of(probabilities[known, column], sample.bought[known, column]).mean())
        for column, known in enumerate(sample.known.T)
    ]


@dataclass(frozen=True)
class GradientBoosting:
    """Gradient-boosted shallow trees, one ensemble per horizon."""

    name = "gradient_boosting"
    title = "Gradient boosting"
    about = "scikit-learn's HistGradientBoostingClassifier on the same features; number of trees chosen on validation"

    seed: int
    most_trees: int = 100

    def choose(self, history: History, train: Sample, validation: Sample) -> list[int]:
        """Return each horizon's best number of trees."""
        inputs, validation_inputs = tabular(history, train.rows), tabular(history, validation.rows)
        counts = []
        for bought, known, true, judged in zip(
            train.bought.T, train.known.T, validation.bought.T, validation.known.T, strict=True
        ):
            trees = self._trees(self.most_trees).fit(inputs[known], bought[known])
            # The validation loss after each number of trees
            stages = trees.staged_predict_proba(validation_inputs[judged])
            counts.append(int(np.argmin([losses_of(stage[:, 1], true[judged]).mean() for stage in stages])) + 1)
        return counts

    def fit(self, history: History, sample: Sample, choices: list[int]) -> LogitsOf:
        inputs = tabular(history, sample.rows)
        fitted = [
            self._trees(count).fit(inputs[known], bought[known])
            for count, bought, known in zip(choices, sample.bought.T, sample.known.T, strict=True)
        ]

        def logits(rows: Integers) -> Floats:
            table = tabular(history, rows)
            return np.stack([log_odds(one.predict_proba(table)[:, 1].astype(np.float64)) for one in fitted], axis=1)

        return logits

    def _trees(self, count: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - slow to import

        return HistGradientBoostingClassifier(
            max_iter=count,
            max_leaf_nodes=15,
            min_samples_leaf=_MIN_LEAF_EVENTS,
            early_stopping=False,
            random_state=self.seed,
        )
