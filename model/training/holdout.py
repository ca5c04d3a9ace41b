"""What the forward chain says of a recipe: how good it is on later events, beside the ridge alone and a constant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.checkpoint import Calibration
from model.comparison import KnownLabels, Predictions, compare
from model.lstm import PropensityLSTM
from model.metrics import best_thresholds, evaluate
from model.propensities import log_odds
from model.training.examples import Examples, Fold
from model.training.predict import calibrated, features_as_served, predicted
from model.training.ridge import Ridge, Ridges

MODEL: Final = "cartcast"
RIDGE: Final = "ridge"
BASE_RATE: Final = "base_rate"
_REPLICAS: Final = 100


@dataclass(frozen=True, slots=True)
class Holdout:
    """The logits of a model, of its ridge alone and of a constant, for a fold's events: they learnt from none of them.

    Arrays are `(rows, horizons)`, `users` is `(rows,)`.
    """

    users: Integers
    unseen: Booleans
    """Whether nothing was learnt of the event's user `(rows,)`."""
    bought: Booleans
    known: Booleans
    logits: dict[str, Floats]
    """By model."""

    @classmethod
    def of(cls, model: PropensityLSTM, ridge: Ridge, examples: Examples, fold: Fold) -> Self:
        """Run the histories of users with a known label, and keep the rows with one; there must be at least one."""
        history = examples.history
        rows, logits = _measured(model, fold, examples)
        served = features_as_served(model, history, rows)
        constant = np.tile(log_odds(fold.training_set.base_rates), (len(rows), 1))
        learnt_of = np.zeros(len(history.user_ids), np.bool_)
        learnt_of[history.users[fold.training_set.spans.starts]] = True
        return cls(
            users=history.users[rows],
            unseen=~learnt_of[history.users[rows]],
            bought=examples.bought[rows],
            known=fold.measured[rows],
            logits={MODEL: logits, RIDGE: ridge.logits(served.numeric, served.types), BASE_RATE: constant},
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join the rows of several folds."""
        return cls(
            users=np.concatenate([part.users for part in parts]),
            unseen=np.concatenate([part.unseen for part in parts]),
            bought=np.concatenate([part.bought for part in parts]),
            known=np.concatenate([part.known for part in parts]),
            logits={name: np.concatenate([part.logits[name] for part in parts]) for name in parts[0].logits},
        )

    def thresholds(self) -> list[float]:
        """Return each horizon's threshold with the best F1."""
        return best_thresholds(_probabilities(self.logits[MODEL]), self.bought, self.known)

    def metrics(self, horizons: Sequence[str], thresholds: Sequence[float], *, unseen: bool = False) -> dict[str, Any]:
        """Return the model's metrics by horizon, of all users or of those of whom nothing was learnt."""
        known = self.known & self.unseen[:, None] if unseen else self.known
        return evaluate(_probabilities(self.logits[MODEL]), self.bought, known, horizons, thresholds)

    def comparison(self, horizons: tuple[str, ...], seed: int, *, unseen: bool = False) -> dict[str, Any]:
        """Compare the model with the ridge and the constant, with intervals over users (`model.comparison`)."""
        rows = self.unseen if unseen else np.ones(len(self.users), np.bool_)
        labels = KnownLabels(self.users[rows], self.bought[rows] & self.known[rows], self.known[rows], horizons)
        models = [
            Predictions(name, name, "", _probabilities(logits[rows]), None) for name, logits in self.logits.items()
        ]
        return compare(models, labels, _REPLICAS, seed)


def best_strengths(ridges: Ridges, model: PropensityLSTM, examples: Examples, fold: Fold) -> list[int]:
    """Return the number of each horizon's best strength on a fold's events, of ridges that did not learn from them."""
    rows = np.flatnonzero(fold.measured.any(axis=1))
    users, counts = np.unique(examples.history.users[rows], return_counts=True)
    weights = (1 / np.sqrt(counts))[np.searchsorted(users, examples.history.users[rows])]
    served = features_as_served(model, examples.history, rows)
    return ridges.best(served.numeric, served.types, examples.bought[rows], fold.measured[rows], weights)


def _measured(model: PropensityLSTM, fold: Fold, examples: Examples) -> tuple[Integers, Floats]:
    has_label = np.asarray(fold.measured.any(axis=1))
    spans = fold.spans.where(np.logical_or.reduceat(has_label, fold.spans.starts))
    parts = [
        (rows[chosen], logits[chosen])
        for rows, logits in predicted(model, examples.history, spans)
        for chosen in (np.flatnonzero(has_label[rows]),)
    ]
    rows, logits = (np.concatenate(found) for found in zip(*parts, strict=True))
    return rows, logits


def _probabilities(logits: Floats) -> Floats:
    return calibrated(logits, Calibration.identity(logits.shape[1]))
