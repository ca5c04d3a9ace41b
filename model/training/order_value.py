"""Order values: what purchases within the time of the shop's `money` are worth if there are some.

A Poisson regression on the numeric features and the type, of the events that are followed by a purchase. As a
pseudo-likelihood it is consistent for the mean whatever the distribution (Gourieroux, Monfort and Trognon, "Pseudo
maximum likelihood methods: applications to Poisson models", 1984; Santos Silva and Tenreyro, "The log of gravity",
2006); a few dear orders decide it, so it is shrunk towards the mean.
"""

import copy
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Floats
from model.lstm import OrderValue, PackedFeatures, PropensityLSTM
from model.training.examples import Fold, TrainingSet
from model.training.predict import features_as_served

PENALTIES: Final = (math.inf, 10.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""To choose from: of the squared weights of standardised inputs, beside the mean deviance; the first is a constant."""
FIRST: Final = PENALTIES.index(1.0)
"""The number of the one to begin with; with more shoppers a smaller one is better."""

_CONSTANT: Final = 1e-6
"""An input that varies less has no weight."""
_MOST_EVENTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class OrderValues:
    """One regression per penalty: weights of the inputs `(penalties, features + types)` and biases `(penalties,)`.

    They give the logarithm of a value, in units of `mean`.
    """

    weights: Floats
    biases: Floats
    mean: float

    @classmethod
    def fit(cls, training_set: TrainingSet, types: int, seed: int) -> "OrderValues":
        """Fit on the known amounts of a training set that has some, with its users' weights."""
        history, amounts = training_set.history, training_set.amounts[:, 0]
        rows = np.flatnonzero(np.nan_to_num(amounts) > 0)
        if len(rows) > _MOST_EVENTS:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_EVENTS, replace=False))
        importance = training_set.user_weights()[history.users[rows]]
        features = history.features(rows)
        inputs = _inputs(features.numeric, features.types, types)
        center = np.average(inputs, axis=0, weights=importance)
        inputs -= center
        deviation = np.sqrt(np.average(inputs**2, axis=0, weights=importance))
        deviation[deviation < _CONSTANT] = 1.0
        inputs /= deviation
        mean = float(np.average(amounts[rows].astype(np.float64), weights=importance))
        fitted = [_fit(inputs, amounts[rows].astype(np.float64) / mean, importance, penalty) for penalty in PENALTIES]
        weights = np.stack([slopes for slopes, _ in fitted]) / deviation  # of inputs as they are
        return cls(weights, np.array([bias for _, bias in fitted]) - weights @ center, mean)

    def best(self, model: PropensityLSTM, order_value: OrderValue, fold: Fold) -> int:
        """Return the number of the penalty with the least deviance on a fold's events, which it did not learn from."""
        history, amounts = fold.training_set.history, fold.amounts[:, 0]
        rows = np.flatnonzero(np.nan_to_num(amounts) > 0)
        users, counts = np.unique(history.users[rows], return_counts=True)
        importance = (1 / np.sqrt(counts))[np.searchsorted(users, history.users[rows])]
        served, order_value, deviances = features_as_served(model, history, rows), copy.deepcopy(order_value).cpu(), []
        inputs = PackedFeatures.of(served, torch.device("cpu"), np.arange(len(rows)), np.array([len(rows)]))
        for number in range(len(PENALTIES)):
            self.put_into(order_value, number)
            values = order_value(inputs).numpy()
            losses = values - amounts[rows] * np.log(values)  # the deviance, but for what depends on the data alone
            deviances.append(float(np.average(losses, weights=importance)))
        return int(np.argmin(deviances))

    def put_into(self, order_value: OrderValue, number: int) -> None:
        """Give a model's part the regression with the penalty of that number."""
        numbers = len(order_value.numbers)
        order_value.numbers.copy_(torch.from_numpy(self.weights[number, :numbers]))
        order_value.types.copy_(torch.from_numpy(self.weights[number, numbers:]))
        order_value.bias.fill_(float(self.biases[number]))
        order_value.log_mean.fill_(math.log(self.mean))


def _inputs(numeric: npt.NDArray[np.float32], codes: npt.NDArray[np.int64], types: int) -> Floats:
    """Return the numbers and the type, one-hot `(events, features + types)`."""
    return np.concatenate((numeric, codes[:, None] == np.arange(types)), axis=1, dtype=np.float64)


def _fit(inputs: Floats, values: Floats, importance: Floats, penalty: float) -> tuple[Floats, float]:
    """Return slopes `(inputs,)` and a bias, both 0 for an infinite penalty: values have a mean of 1."""
    from sklearn.linear_model import PoissonRegressor  # noqa: PLC0415 - slow to import

    if math.isinf(penalty):
        return np.zeros(inputs.shape[1]), 0.0
    fitted = PoissonRegressor(alpha=penalty, solver="newton-cholesky").fit(inputs, values, sample_weight=importance)
    return fitted.coef_, float(fitted.intercept_)
