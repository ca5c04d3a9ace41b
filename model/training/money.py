"""How true expected values are on later events: beside a constant, and beside a propensity times a mean value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Floats, Integers
from model.comparison import interval, numbered
from model.lstm import PropensityLSTM
from model.metrics import plain
from model.training.chunks import Spans
from model.training.examples import TrainingSet
from model.training.predict import expected_values, features_as_served
from model.training.ridge import STRENGTHS, Ridges

MODEL: Final = "cartcast"
PROPENSITY_TIMES_VALUE: Final = "propensity_times_value"
CONSTANT: Final = "constant"

_REPLICAS: Final = 200
_DECILES: Final = 10
_MIN_BUYERS: Final = 20
"""With fewer events of either kind there is no propensity to compare with."""


@dataclass(frozen=True, slots=True)
class MoneyHoldout:
    """Expected values of some events that none of the models learnt from; arrays are `(rows,)`."""

    users: Integers
    unseen: Booleans
    """Whether nothing was learnt of the event's user."""
    actual: Floats
    predicted: dict[str, Floats]
    """By model."""

    @classmethod
    def of(
        cls,
        model: PropensityLSTM,
        training_set: TrainingSet,
        spans: Spans,
        amounts: npt.NDArray[np.float32],
        seed: int,
    ) -> Self:
        """Run the histories `spans`, and keep the rows whose amount `(events, 1)` is known; there must be one."""
        history, is_known = training_set.history, ~np.isnan(amounts[:, 0])
        spans = spans.where(np.logical_or.reduceat(is_known, spans.starts))
        parts = [
            (rows[known], values[known])
            for rows, values in expected_values(model, history, spans)
            for known in (is_known[rows],)
        ]
        rows, values = (np.concatenate(found) for found in zip(*parts, strict=True))
        learnt_of = np.zeros(len(history.user_ids), np.bool_)
        learnt_of[history.users[training_set.spans.starts]] = True
        return cls(
            users=history.users[rows],
            unseen=~learnt_of[history.users[rows]],
            actual=amounts[rows, 0].astype(np.float64),
            predicted={MODEL: values, **_baselines(model, training_set, rows, seed)},
        )

    def correction(self, seed: int) -> float:
        """Return the factor that makes the predicted sum the actual one; 1 if the difference may be chance."""
        users, count = numbered(self.users)
        # The actual over the predicted sum, which is a number for every resample: often few orders are all there is.
        levels = _resampler(users, count, seed)(self.actual, self.predicted[MODEL])
        ends = interval(levels[1:])
        return 1.0 if ends is None or ends[0] <= 1.0 <= ends[1] else float(levels[0])

    def measure(self, seed: int, *, unseen: bool = False) -> dict[str, Any]:
        """Return what metrics.json and a report say, with 95 % intervals from resampled users (docs/evaluation.md).

        `ratio` is the predicted sum over the actual one; `d2` the share of the constant's Poisson deviance that a model
        explains (as scikit-learn's `d2_tweedie_score` of power 1); `gain_10_percent` the share of all value that
        follows the tenth of the events with the highest predictions.
        """
        chosen = np.flatnonzero(self.unseen) if unseen else np.arange(len(self.users))
        actual, predicted = self.actual[chosen], {name: values[chosen] for name, values in self.predicted.items()}
        if not actual.sum() > 0:
            nothing: dict[str, Any] = {"mean": 0.0, "models": {}, "differences": {}, "deciles": []}
            return {"events": len(actual), "users": len(np.unique(self.users[chosen])), **nothing}
        users, count = numbered(self.users[chosen])
        resample = _resampler(users, count, seed)
        deviances = {name: _deviance(actual, values) for name, values in predicted.items()}
        others = [name for name in predicted if name != MODEL]
        return {
            "events": len(actual),
            "users": count,
            "mean": float(actual.mean()),
            "models": {
                name: {
                    "mean": float(values.mean()),
                    **_estimate("ratio", resample(values, actual)),
                    **_estimate("d2", 1.0 - resample(deviances[name], deviances[CONSTANT])),
                    **_estimate("gain_10_percent", resample(actual * _is_in_top_tenth(values), actual)),
                }
                for name, values in predicted.items()
            },
            "differences": {
                name: _estimate("d2", resample(deviances[name] - deviances[MODEL], deviances[CONSTANT]))
                for name in others
            },
            "deciles": _deciles(predicted[MODEL], actual, resample),
        }


Resample = Callable[[Floats, Floats], Floats]
"""Takes what to add up above and below `(rows,)`; returns the ratio of the sums, then that of each replica."""


def _resampler(users: Integers, count: int, seed: int) -> Resample:
    random = np.random.default_rng(seed)
    draws = random.multinomial(count, np.full(count, 1.0 / count), size=_REPLICAS if count > 1 else 0)
    weights = np.concatenate((np.ones((1, count)), draws))  # (1 + replicas, users)

    def resample(above: Floats, below: Floats) -> Floats:
        sums = [weights @ np.bincount(users, weights=one, minlength=count) for one in (above, below)]
        return np.asarray(np.divide(sums[0], sums[1], out=np.full(len(weights), np.nan), where=sums[1] > 0))

    return resample


def _estimate(name: str, found: Floats) -> dict[str, Any]:
    """Return a value and its interval from the value and its replicas."""
    return {name: plain(float(found[0])), f"{name}_interval": interval(found[1:])}


def _deviance(actual: Floats, predicted: Floats) -> Floats:
    """Return each event's Poisson deviance `(rows,)`, the loss of the head but for what depends on the data alone."""
    entropy = np.zeros(len(actual))
    bought = actual > 0
    entropy[bought] = actual[bought] * np.log(actual[bought] / predicted[bought])
    return np.asarray(2.0 * (entropy - actual + predicted))


def _is_in_top_tenth(predicted: Floats) -> Floats:
    """Return the share of each event that is in the highest tenth `(rows,)`; ties at its edge share it."""
    size = len(predicted) / _DECILES
    edge = np.partition(predicted, -int(np.ceil(size)))[-int(np.ceil(size))]
    above, at = predicted > edge, predicted == edge
    return np.asarray(above + at * ((size - above.sum()) / at.sum()))


def _deciles(predicted: Floats, actual: Floats, resample: Resample) -> list[dict[str, Any]]:
    """Return mean predicted and mean actual value of tenths of the events, the lowest predictions first."""
    found = []
    for rows in np.array_split(np.argsort(predicted, kind="stable"), _DECILES):
        if not len(rows):
            continue
        inside = np.zeros(len(actual))
        inside[rows] = 1.0
        found.append(
            {
                "events": len(rows),
                "predicted": float(predicted[rows].mean()),
                **_estimate("actual", resample(actual * inside, inside)),
            }
        )
    return found


def _baselines(model: PropensityLSTM, training_set: TrainingSet, rows: Integers, seed: int) -> dict[str, Floats]:
    """Return what models without a head for money expect: a constant, and the ridge's propensity times a mean value."""
    history, amounts = training_set.history, training_set.amounts[:, 0]
    known = ~np.isnan(amounts)
    bought = known & (np.nan_to_num(amounts) > 0)
    mean = float(amounts[known].mean(dtype=np.float64)) if known.any() else 0.0
    found = {CONSTANT: np.full(len(rows), max(mean, 1e-9))}
    if min(bought.sum(), known.sum() - bought.sum()) < _MIN_BUYERS:
        return found
    labels = replace(training_set, bought=bought[:, None], known=known[:, None])
    ridge, served = Ridges.fit(labels, seed).chosen([len(STRENGTHS) // 2]), features_as_served(model, history, rows)
    propensities = 1.0 / (1.0 + np.exp(-ridge.logits(served.numeric, served.types)[:, 0]))
    return {PROPENSITY_TIMES_VALUE: propensities * float(amounts[bought].mean(dtype=np.float64)), **found}


def joined(parts: Sequence[MoneyHoldout]) -> MoneyHoldout:
    """Join the rows of several folds."""
    names = set(parts[0].predicted).intersection(*(part.predicted for part in parts))
    return MoneyHoldout(
        users=np.concatenate([part.users for part in parts]),
        unseen=np.concatenate([part.unseen for part in parts]),
        actual=np.concatenate([part.actual for part in parts]),
        predicted={
            name: np.concatenate([part.predicted[name] for part in parts])
            for name in parts[0].predicted
            if name in names
        },
    )
