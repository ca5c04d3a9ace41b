"""A candidate against the checkpoint that serves: which is better on days that neither has learnt from.

The candidate that is measured is what its recipe makes of the days before those (`Trained.earlier`). Those days begin
after the last event that the serving checkpoint has learnt from: what a model has seen says nothing of it.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.arrays import Floats
from model.checkpoint import DEFAULT_CHECKPOINT, Calibration, Checkpoint, load_checkpoint
from model.comparison import Predictions, compare, verdicts
from model.evaluation.test_set import EvaluationSet
from model.events import MIN_EVENT_TIME_MS, parse_time_ms, rfc3339
from model.horizons import longest_horizon_ms
from model.lstm import PropensityLSTM
from model.training.examples import hidden_users
from model.training.history import History
from model.training.predict import calibrated, predict_logits
from model.training.split import TimeSplit
from model.training.train import MIN_HOLDOUT_BUYERS, Trained
from service.errors import EvaluationError

CANDIDATE: Final = "candidate"
CURRENT: Final = "current"
_REPLICAS: Final = 200


@dataclass(frozen=True, slots=True)
class Challenge:
    """The days on which a candidate and the serving checkpoint are compared."""

    current: Checkpoint
    test_set: EvaluationSet

    @classmethod
    def of(cls, history: History, current: Checkpoint) -> "Challenge":
        """Take the test part of training's split, without days that the checkpoint has learnt from.

        Raises EvaluationError with what is missing if that is too little to compare on, at any of its horizons.
        """
        horizons, shop = current.model.config.horizons, current.model.config.shop
        split = TimeSplit.of(history.applied_ms, longest_horizon_ms(shop.within(horizons)))
        seen_ms = learnt_until_ms(current)
        judged = TimeSplit(split.validation_from_ms, max(split.test_from_ms, seen_ms + 1), split.end_ms)
        where = f"between {rfc3339(judged.test_from_ms)} and {rfc3339(split.end_ms)}"
        if seen_ms >= split.test_from_ms:
            where += f" ({current.version} has learnt from what was before)"
        try:
            test_set = EvaluationSet.of(history, judged, hidden_users(history), horizons)
        except EvaluationError:
            raise EvaluationError(f"nothing to compare on {where}: wait for later events") from None
        for horizon, known, bought in zip(horizons, *test_set.examples.shares(test_set.examples.test), strict=True):
            if not MIN_HOLDOUT_BUYERS <= bought <= known - MIN_HOLDOUT_BUYERS:
                raise EvaluationError(
                    f"too little to compare on at horizon {horizon} {where}: of {known:,} events with a known label "
                    f"{bought:,} are followed by {shop.followed_by(horizon)}; at least {MIN_HOLDOUT_BUYERS} must be, "
                    "and as many not"
                )
        return cls(current, test_set)

    def result(self, trained: Trained) -> "Result":
        """Compare what `trained` measured of its recipe with the checkpoint, on the same events of the same users."""
        horizons, missing = self.test_set.horizons, trained.training["refused_horizons"]
        if missing:
            return Result(False, f"the candidate lacks a horizon: {'; '.join(missing.values())}")
        identity = Calibration.identity(len(horizons))
        models = [
            self._predictions(CANDIDATE, trained.earlier, identity),
            self._predictions(CURRENT, self.current.model, self.current.calibration),
        ]
        compared = compare(models, self.test_set.labels, _REPLICAS, trained.training["settings"]["seed"])
        found = {horizon: verdicts(compared, CURRENT)[horizon] for horizon in horizons}
        return Result("better" in found.values() and "worse" not in found.values(), _why(found), found, compared)

    def _predictions(self, name: str, model: PropensityLSTM, calibration: Calibration) -> Predictions:
        return Predictions(name, name, "", self._propensities(model, calibration), None)

    def _propensities(self, model: PropensityLSTM, calibration: Calibration) -> Floats:
        """Score the whole histories of the users who are judged; returns `(rows, horizons)`."""
        history, rows = self.test_set.history, self.test_set.rows
        is_judged = np.zeros(len(history.user_ids), np.bool_)
        is_judged[self.test_set.labels.users] = True
        theirs = np.flatnonzero(is_judged[history.users])
        return calibrated(predict_logits(model, history, theirs)[np.searchsorted(theirs, rows)], calibration)

    @property
    def period(self) -> dict[str, Any]:
        """From when until when is compared, and on how many events."""
        split = self.test_set.examples.split
        return {
            "judged_from": rfc3339(split.test_from_ms),
            "judged_until": rfc3339(split.end_ms),
            "judged_events": len(self.test_set.rows),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """Whether the candidate is better, and why it is or is not."""

    is_better: bool
    why: str
    """What follows `published: ` or `not published: `."""
    verdicts: dict[str, str] | None = None
    """By horizon: better, worse or no different; None if nothing was compared."""
    compared: dict[str, Any] | None = None
    """What `model.comparison.compare` found."""


def learnt_until_ms(checkpoint: Checkpoint) -> int:
    """Return the time of the last event that a checkpoint has learnt from; raises EvaluationError if it says none.

    The one that ships has learnt from simulated shoppers alone, so from no day of any shop.
    """
    if checkpoint.version == load_checkpoint(DEFAULT_CHECKPOINT).version:
        return MIN_EVENT_TIME_MS
    try:
        return parse_time_ms(checkpoint.training["last_event"])
    except (KeyError, TypeError, ValueError):
        raise EvaluationError(
            f"checkpoint {checkpoint.version} does not say until when it has learnt, so that no days are fair to it"
        ) from None


def _why(found: dict[str, str]) -> str:
    """Return `better at 1h, 24h; no different at session`."""
    by_verdict = {
        verdict: [horizon for horizon, one in found.items() if one == verdict]
        for verdict in ("better", "worse", "no different")
    }
    return "; ".join(f"{verdict} at {', '.join(horizons)}" for verdict, horizons in by_verdict.items() if horizons)
