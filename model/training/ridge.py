"""Ridge: a logistic regression per horizon on the numeric features and the type, which is then folded into the heads.

What is linear it learns from few shoppers as well as can be, where a network is noisy; the mean of the two logits is
better than either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Booleans, Floats, Integers
from model.lstm import PropensityLSTM
from model.ranking import losses_of
from model.training.examples import TrainingSet

STRENGTHS: Final = (0.0001, 0.001, 0.01)
"""Inverse penalties to choose from: of the squared weights of standardised inputs, beside the summed loss."""
SHARE: Final = 0.3
"""Of the served logit; the rest is the network's."""

_CONSTANT: Final = 1e-6
"""An input that varies less has no weight."""
_MOST_EVENTS: Final = 200_000
"""It learns from a random choice of so many: enough for the few weights that it has."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """Logits are `numeric @ numbers + types[type] + biases`."""

    numbers: Floats
    """`(numeric inputs, horizons)`, of inputs as `Features.numeric` has them."""
    types: Floats
    """`(types, horizons)`"""
    biases: Floats
    """`(horizons,)`"""

    def logits(self, numeric: npt.NDArray[np.float32], types: Integers) -> Floats:
        """Return the logits `(events, horizons)`."""
        return np.asarray(numeric @ self.numbers + self.types[types] + self.biases)

    def fold_into(self, model: PropensityLSTM) -> None:
        """Make the model's logits the mean of its own and these, SHARE of them these."""
        numbers = torch.from_numpy(_of_standardised(self.numbers, model.number_scales)).float()
        types, biases = (torch.from_numpy(each).float() for each in (self.types, self.biases))
        heads = model.heads
        with torch.no_grad():
            heads.weight.mul_(1 - SHARE)
            heads.weight[:, model.config.hidden_size :] += SHARE * numbers.T.to(heads.weight.device)
            for table in model.label_logits.parameters():
                table.mul_(1 - SHARE)
            heads.bias.mul_(1 - SHARE).add_(SHARE * biases.to(heads.bias.device))
            model.type_logits.copy_(SHARE * types)


@dataclass(frozen=True, slots=True)
class Ridges:
    """One ridge per strength, for a choice between them."""

    by_strength: tuple[Ridge, ...]

    @classmethod
    def fit(cls, training_set: TrainingSet, seed: int) -> "Ridges":
        """Fit on the known labels of a training set, with its users' weights."""
        history, known = training_set.history, training_set.known
        rows, types = _sample(known, seed), len(history.shop.event_types)
        weights = training_set.user_weights()[history.users[rows]]
        inputs = _inputs(history.numeric[rows], history.own_types[rows], types)
        mean = np.average(inputs, axis=0, weights=weights)
        inputs -= mean
        deviation = np.sqrt(np.average(inputs**2, axis=0, weights=weights))
        deviation[deviation < _CONSTANT] = 1.0
        inputs /= deviation
        fitted = []
        for strength in STRENGTHS:
            columns = [
                _fit(inputs[of], training_set.bought[rows[of], horizon], weights[of], strength)
                for horizon in range(known.shape[1])
                for of in (known[rows, horizon],)
            ]
            # (inputs, horizons) and (horizons,), of inputs as they are, not standardised
            slopes = np.stack([slope for slope, _ in columns], axis=1) / deviation[:, None]
            biases = np.array([bias for _, bias in columns]) - mean @ slopes
            fitted.append(Ridge(slopes[:-types], slopes[-types:], biases))
        return cls(tuple(fitted))

    def chosen(self, strengths: Sequence[int]) -> Ridge:
        """Return a ridge whose every horizon has the strength of that number."""
        picked = [(self.by_strength[number], horizon) for horizon, number in enumerate(strengths)]
        return Ridge(
            np.stack([ridge.numbers[:, horizon] for ridge, horizon in picked], axis=1),
            np.stack([ridge.types[:, horizon] for ridge, horizon in picked], axis=1),
            np.array([ridge.biases[horizon] for ridge, horizon in picked]),
        )

    def best(
        self, numeric: npt.NDArray[np.float32], types: Integers, bought: Booleans, known: Booleans, weights: Floats
    ) -> list[int]:
        """Return each horizon's strength with the least weighted log loss on other events, by number."""
        losses = [
            [
                np.average(losses_of(_probabilities(logits[of, horizon]), bought[of, horizon]), weights=weights[of])
                for horizon, of in enumerate(known.T)
            ]
            for ridge in self.by_strength
            for logits in (ridge.logits(numeric, types),)
        ]
        return [int(number) for number in np.argmin(losses, axis=0)]


def _sample(known: Booleans, seed: int) -> Integers:
    rows = np.flatnonzero(known.any(axis=1))
    if len(rows) > _MOST_EVENTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_EVENTS, replace=False))
    return rows


def _of_standardised(numbers: Floats, scales: torch.Tensor | None) -> Floats:
    """Return the weights of the same logits for inputs as the network's heads see them, which standardise attributes.

    An attribute is mean * known + deviation * what the heads see.
    """
    if scales is None:
        return numbers
    means, deviations = scales.cpu().double().numpy()
    rest, of_attributes, known = np.split(numbers, [len(numbers) - 2 * len(means), len(numbers) - len(means)])
    standardised = of_attributes * deviations[:, None]
    return np.concatenate((rest, standardised, known + of_attributes * means[:, None]))


def _inputs(numeric: npt.NDArray[np.float32], own_types: npt.NDArray[np.uint8], types: int) -> Floats:
    """Return the numbers and the type, one-hot `(events, inputs + types)`."""
    return np.concatenate((numeric, own_types[:, None] == np.arange(types)), axis=1, dtype=np.float64)


def _fit(inputs: Floats, bought: Booleans, weights: Floats, strength: float) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import

    fitted = LogisticRegression(C=strength, solver="newton-cholesky").fit(inputs, bought, sample_weight=weights)
    return fitted.coef_[0], float(fitted.intercept_[0])


def _probabilities(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))
