"""What the validation and test parts say of a model: when to stop, how to calibrate it, how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.checkpoint import Calibration
from model.lstm import PropensityLSTM
from model.metrics import best_thresholds, evaluate, log_loss
from model.training.calibrate import fit_calibration, slopes_only
from model.training.chunks import Spans
from model.training.examples import Examples
from model.training.predict import calibrated, predicted


def validation_loss(model: PropensityLSTM, examples: Examples) -> float:
    """Return the log loss over the validation part, averaged over the horizons."""
    holdout = Holdout.of(model, examples, examples.until(examples.split.test_from_ms), examples.validation)
    propensities, bought, known = (
        holdout.propensities(),
        examples.bought[holdout.rows],
        examples.validation[holdout.rows],
    )
    return float(np.mean([log_loss(propensities[mask, h], bought[mask, h]) for h, mask in enumerate(known.T)]))


@dataclass(frozen=True, slots=True)
class Holdout:
    """The logits of a model for rows of a history that it was not trained on."""

    examples: Examples
    rows: Integers
    logits: Floats
    """`(rows, horizons)`"""

    @classmethod
    def of(cls, model: PropensityLSTM, examples: Examples, spans: Spans, known: Booleans) -> Self:
        """Run the histories of users with a known label, and keep the rows that have one; there must be at least one.

        `known` is `(events, horizons)`.
        """
        has_label = np.asarray(known.any(axis=1))
        spans = spans.where(np.logical_or.reduceat(has_label, spans.starts))
        parts = [
            (rows[chosen], logits[chosen])
            for rows, logits in predicted(model, examples.history, spans)
            for chosen in (np.flatnonzero(has_label[rows]),)
        ]
        rows, logits = (np.concatenate(found) for found in zip(*parts, strict=True))
        return cls(examples, rows, logits)

    def propensities(self, calibration: Calibration | None = None) -> Floats:
        """Return the probabilities `(rows, horizons)`."""
        return calibrated(self.logits, calibration or Calibration.identity(self.logits.shape[1]))

    def calibration(self) -> Calibration:
        """Return the calibration fitted on the validation part."""
        examples, rows = self.examples, self.rows
        users = examples.history.users[rows]
        return fit_calibration(self.logits, examples.bought[rows], examples.validation[rows], users)

    def calibration_of_successor(self, calibration: Calibration) -> Calibration:
        """Return the part of this calibration that holds for a model trained on validation and test too: the slopes."""
        return slopes_only(calibration, self.logits[self.examples.validation[self.rows].any(axis=1)])

    def thresholds(self, calibration: Calibration) -> list[float]:
        """Return each horizon's threshold with the best F1 in the validation part."""
        examples, rows = self.examples, self.rows
        return best_thresholds(self.propensities(calibration), examples.bought[rows], examples.validation[rows])

    def metrics(self, calibration: Calibration, thresholds: Sequence[float], horizons: Sequence[str]) -> dict[str, Any]:
        """Return the metrics of validation, of test, and of the test events of users without training events."""
        examples, rows = self.examples, self.rows
        validation, test = examples.validation[rows], examples.test[rows]
        unseen = test & examples.unseen()[examples.history.users[rows]][:, None]
        propensities, bought = self.propensities(calibration), examples.bought[rows]
        parts = {"validation": validation, "test": test, "test_unseen_users": unseen}
        return {name: evaluate(propensities, bought, part, horizons, thresholds) for name, part in parts.items()}
