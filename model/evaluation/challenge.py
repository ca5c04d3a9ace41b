"""A candidate against the checkpoint that serves: which is better on days that neither has learnt from.

The candidate that is measured is what its recipe makes of the days before those (`Trained.earlier`). Those days begin
after the last event that the serving checkpoint has learnt from: what a model has seen says nothing of it.

A candidate may be of another definition of the shop. Each then reads the events with its own, and they are compared at
what both predict.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.arrays import Integers
from model.checkpoint import DEFAULT_CHECKPOINT, Calibration, Checkpoint, load_checkpoint
from model.comparison import Predictions, compare, verdicts
from model.evaluation.test_set import EvaluationSet
from model.events import MIN_EVENT_TIME_MS, parse_time_ms, rfc3339
from model.horizons import longest_horizon_ms
from model.lstm import PropensityLSTM
from model.shop import Shop
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
    """Of the horizons that both predict."""
    served: History
    """The events as the serving checkpoint reads them."""

    @classmethod
    def of(
        cls,
        history: History,
        current: Checkpoint,
        *,
        horizons: tuple[str, ...] | None = None,
        served: History | None = None,
    ) -> "Challenge":
        """Take the test part of training's split, without days that the checkpoint has learnt from.

        `horizons` are the candidate's, with whose shop `history` was read; the serving checkpoint's if it says none.
        `served` are the same events, and perhaps later ones, read with the serving checkpoint's shop.

        Raises EvaluationError with what is missing if that is too little to compare on, at any common horizon.
        """
        shop, served = history.shop, history if served is None else served
        wanted = current.model.config.horizons if horizons is None else horizons
        split = TimeSplit.of(history.applied_ms, longest_horizon_ms(shop.within(wanted)))
        horizons = common_horizons(wanted, shop, current)
        seen_ms = learnt_until_ms(current)
        judged = TimeSplit(split.validation_from_ms, max(split.test_from_ms, seen_ms + 1), split.end_ms)
        if seen_ms >= split.end_ms:
            raise EvaluationError(
                f"nothing to compare on: {current.version} has learnt from events until {rfc3339(seen_ms)}, and "
                "none is later: wait for later events"
            )
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
        return cls(current, test_set, served)

    def result(self, trained: Trained) -> "Result":
        """Compare what `trained` measured of its recipe with the checkpoint, on the same events of the same users."""
        horizons, missing = self.test_set.horizons, trained.training["refused_horizons"]
        if missing:
            return Result(False, f"the candidate lacks a horizon: {'; '.join(missing.values())}")
        history, rows = self.test_set.history, self.test_set.rows
        theirs = rows if self.served is history else _counterparts(history, rows, self.served)
        current, calibration = self.current.model, self.current.calibration
        models = [
            self._predictions(
                CANDIDATE, trained.earlier, Calibration.identity(len(trained.earlier.config.horizons)), history, rows
            ),
            self._predictions(CURRENT, current, calibration, self.served, theirs),
        ]
        compared = compare(models, self.test_set.labels, _REPLICAS, trained.training["settings"]["seed"])
        found = {horizon: verdicts(compared, CURRENT)[horizon] for horizon in horizons}
        return Result("better" in found.values() and "worse" not in found.values(), _why(found), found, compared)

    def _predictions(
        self, name: str, model: PropensityLSTM, calibration: Calibration, history: History, rows: Integers
    ) -> Predictions:
        """Return what a model says of rows of a history at the common horizons, of whole histories of their users."""
        columns = [model.config.horizons.index(horizon) for horizon in self.test_set.horizons]
        is_judged = np.zeros(len(history.user_ids), np.bool_)
        is_judged[history.users[rows]] = True
        scored = np.flatnonzero(is_judged[history.users])
        found = calibrated(predict_logits(model, history, scored)[np.searchsorted(scored, rows)], calibration)
        return Predictions(name, name, "", found[:, columns], None)

    @property
    def period(self) -> dict[str, Any]:
        """From when until when is compared, and on how many events."""
        split = self.test_set.examples.split
        return {
            "judged_from": rfc3339(split.test_from_ms),
            "judged_until": rfc3339(split.end_ms),
            "judged_events": len(self.test_set.rows),
        }


def common_horizons(horizons: Iterable[str], shop: Shop, current: Checkpoint) -> tuple[str, ...]:
    """Return those of a candidate's horizons that mean the same to the serving checkpoint."""
    config = current.model.config
    return tuple(name for name in horizons if name in config.horizons and shop.goal(name) == config.shop.goal(name))


def _counterparts(history: History, rows: Integers, other: History) -> Integers:
    """Return the rows of another reading of the same events, in which only later ones may have come at users' ends.

    Raises EvaluationError if they are not there.
    """
    numbers = {user_id: number for number, user_id in enumerate(other.user_ids)}
    users = np.array([numbers.get(user_id, -1) for user_id in history.user_ids], np.int64)[history.users[rows]]
    found = other.starts[users] + rows - history.starts[history.users[rows]]
    same = (users >= 0) & (found < other.starts[users + 1])
    same[same] = other.time_ms[found[same]] == history.time_ms[rows[same]]
    if not same.all():
        raise EvaluationError("the history has changed while it was read twice: run the command again")
    return found


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
