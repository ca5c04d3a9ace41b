"""What a model must beat: simple models of the same split, of the same streaming features, calibrated the same way.

They are handed samples of the training and the validation part and nothing else: fitted on the first, chosen and
calibrated with the second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from model.events import EVENT_TYPES
from model.ranking import Floats, losses_of
from model.training.calibrate import fit_calibration
from model.training.history import History
from model.training.labels import Booleans, Integers
from service.errors import EvaluationError

LEAST_EXAMPLES: Final = 20
"""A horizon with fewer buyers, or fewer others, in the training part teaches nothing."""
_PENALTIES: Final = (0.001, 0.01, 0.1)
"""Inverse strengths of the logistic regression's penalty that are tried on the validation part."""
_FEWEST_IN_A_LEAF: Final = 50
_CLOSEST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a history with what is known of them."""

    rows: Integers
    bought: Booleans
    known: Booleans
    """`(rows, horizons)`; what is not known is False in `bought` too."""

    @classmethod
    def of(cls, bought: Booleans, known: Booleans, most: int, random: np.random.Generator) -> Self:
        """Take the rows of which a label `(events, horizons)` is known; of more than `most`, a random choice."""
        rows = np.flatnonzero(known.any(axis=1))
        if len(rows) > most:
            rows = np.sort(random.choice(rows, most, replace=False))
        return cls(rows, bought[rows] & known[rows], known[rows])

    def check(self, part: str, horizons: Sequence[str]) -> None:
        """Raise EvaluationError if this sample cannot teach every horizon."""
        for column, horizon in enumerate(horizons):
            bought, known = int(self.bought[:, column].sum()), int(self.known[:, column].sum())
            if not LEAST_EXAMPLES <= bought <= known - LEAST_EXAMPLES:
                raise EvaluationError(
                    f"of the {known} events of the {part} part {bought} are followed by a purchase (horizon {horizon}),"
                    f" and at least {LEAST_EXAMPLES} must be and {LEAST_EXAMPLES} must not"
                )


Fitted = Callable[[Integers], Floats]
"""Takes rows of the history, returns logits `(rows, horizons)`."""


class Baseline(Protocol):
    """A model that is fitted in a minute and explained in a sentence."""

    name: str
    title: str
    about: str

    def fit(self, history: History, train: Sample, validation: Sample) -> Fitted:
        """Fit on `train`, choose with `validation`."""


def tabular(history: History, rows: Integers) -> npt.NDArray[np.float32]:
    """Return the streaming features and one flag an event type `(rows, features)`."""
    flags = history.type_codes[rows, None] == np.arange(len(EVENT_TYPES))
    return np.concatenate((history.numeric[rows], flags.astype(np.float32)), axis=1)


def calibrated_on(fitted: Fitted, validation: Sample) -> Callable[[Integers], Floats]:
    """Return the function from rows to propensities, calibrated on the validation part as every checkpoint is."""
    calibration = fit_calibration(fitted(validation.rows), validation.bought, validation.known)
    slopes, intercepts = np.array(calibration.slopes), np.array(calibration.intercepts)
    return lambda rows: np.asarray(1.0 / (1.0 + np.exp(-(fitted(rows) * slopes + intercepts))))


def _logit(propensities: Floats) -> Floats:
    clipped = np.clip(propensities, _CLOSEST, 1 - _CLOSEST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


class BaseRate:
    """The same probability for everybody."""

    name = "base_rate"
    title = "Base rate"
    about = "the share of events that a purchase followed before the evaluated time, for every event alike"

    def fit(self, history: History, train: Sample, validation: Sample) -> Fitted:  # noqa: ARG002 - looks at labels only
        bought = train.bought.sum(axis=0) + validation.bought.sum(axis=0)
        known = train.known.sum(axis=0) + validation.known.sum(axis=0)
        logits = _logit(bought / np.maximum(known, 1))
        return lambda rows: np.tile(logits, (len(rows), 1))


class LogisticRegression:
    """A weighted sum of the features a horizon."""

    name = "logistic_regression"
    title = "Logistic regression"
    about = "the streaming features and the event's type, standardised; penalty chosen on the validation part"

    def fit(self, history: History, train: Sample, validation: Sample) -> Fitted:
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - slow to import

        scaler = StandardScaler().fit(tabular(history, train.rows))
        inputs, judged = (scaler.transform(tabular(history, part.rows)) for part in (train, validation))
        fitted = [
            _best_penalty(inputs[known], bought[known], judged[judged_known], judged_bought[judged_known])
            for bought, known, judged_bought, judged_known in _columns(train, validation)
        ]

        def logits(rows: Integers) -> Floats:
            scaled = scaler.transform(tabular(history, rows))
            return np.stack([one.decision_function(scaled) for one in fitted], axis=1).astype(np.float64)

        return logits


def _best_penalty(
    inputs: npt.NDArray[np.float32], bought: Booleans, judged: npt.NDArray[np.float32], judged_bought: Booleans
) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn import linear_model  # noqa: PLC0415

    tried = [
        linear_model.LogisticRegression(C=penalty, solver="newton-cholesky").fit(inputs, bought)
        for penalty in _PENALTIES
    ]
    return min(tried, key=lambda one: losses_of(one.predict_proba(judged)[:, 1], judged_bought).mean())


@dataclass(frozen=True)
class GradientBoosting:
    """Shallow trees, each of which corrects those before it."""

    name = "gradient_boosting"
    title = "Gradient boosting"
    about = "scikit-learn's HistGradientBoostingClassifier on the same features; number of trees chosen on validation"

    seed: int
    most_trees: int = 100

    def fit(self, history: History, train: Sample, validation: Sample) -> Fitted:
        inputs, judged = tabular(history, train.rows), tabular(history, validation.rows)
        fitted = [
            self._fit_one(inputs[known], bought[known], judged[judged_known], judged_bought[judged_known])
            for bought, known, judged_bought, judged_known in _columns(train, validation)
        ]
        return lambda rows: np.stack([one(tabular(history, rows)) for one in fitted], axis=1)

    def _fit_one(
        self,
        inputs: npt.NDArray[np.float32],
        bought: Booleans,
        judged: npt.NDArray[np.float32],
        judged_bought: Booleans,
    ) -> Callable[[npt.NDArray[np.float32]], Floats]:
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - slow to import

        def trees(count: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
            return HistGradientBoostingClassifier(
                max_iter=count,
                max_leaf_nodes=15,
                min_samples_leaf=_FEWEST_IN_A_LEAF,
                early_stopping=False,
                random_state=self.seed,
            ).fit(inputs, bought)

        losses = [
            losses_of(stage[:, 1], judged_bought).mean()
            for stage in trees(self.most_trees).staged_predict_proba(judged)
        ]
        chosen = trees(int(np.argmin(losses)) + 1)
        return lambda rows: _logit(chosen.predict_proba(rows)[:, 1].astype(np.float64))


def _columns(train: Sample, validation: Sample) -> list[tuple[Booleans, Booleans, Booleans, Booleans]]:
    """Return, for each horizon, labels and knowledge of both parts."""
    return list(zip(train.bought.T, train.known.T, validation.bought.T, validation.known.T, strict=True))
