"""The test set: its time, its events with a known label, and the groups that are measured separately."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Booleans, Integers
from model.checkpoint import Checkpoint
from model.comparison import KnownLabels
from model.events import parse_time_ms, rfc3339
from model.horizons import longest_horizon_ms
from model.training.examples import Examples
from model.training.history import History
from model.training.split import PART_SHARE, TimeSplit, data_bounds
from service.errors import EvaluationError

ALL_USERS: Final = "all"
UNSEEN_USERS: Final = "unseen"
AFTER_LOGIN: Final = "after_login"
EVENTS_AFTER_LOGIN: Final = 5

_EARLIER_EVENTS: Final = ((0, 0), (1, 4), (5, 19), (20, None))


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The evaluated rows of a history, and its other examples."""

    examples: Examples
    rows: Integers
    labels: KnownLabels

    @classmethod
    def of(cls, history: History, split: TimeSplit, hidden: Booleans, horizons: tuple[str, ...]) -> Self:
        """Take the split's test part; the baselines will learn nothing of the `hidden` users.

        Raises EvaluationError if its labels are all of one class, or of one user.
        """
        examples = Examples.of(history, split, hidden, horizons)
        rows = np.flatnonzero(examples.test.any(axis=1))
        if not len(rows):
            raise EvaluationError(_nothing_there(history, split))
        known, users = examples.test[rows], history.users[rows]
        bought = examples.bought[rows] & known
        if not (bought.any(axis=0) & (known & ~bought).any(axis=0)).any():
            some = "every one" if bought.any() else "none"
            raise EvaluationError(
                f"nothing to tell apart: {some} of the {len(rows):,} evaluated events is followed by a purchase or "
                "what a goal asks, at any horizon: give later or more events, or another time with --after"
            )
        if users[0] == users[-1]:
            raise EvaluationError("all evaluated events are of one user, who says nothing of others: give more users")
        return cls(examples, rows, KnownLabels(users, bought, known, horizons))

    @property
    def history(self) -> History:
        return self.examples.history

    @property
    def horizons(self) -> tuple[str, ...]:
        return self.labels.horizons

    def slices(self) -> Iterator[tuple[str, str, Booleans]]:
        """Yield name, title and mask `(rows,)` of each group."""
        earlier = self.rows - self.history.starts[self.labels.users]
        yield ALL_USERS, "All users", np.ones(len(self.rows), np.bool_)
        yield UNSEEN_USERS, "Users never seen in training", self.examples.unseen()[self.labels.users]
        if len(self.history.logins):
            after_login = self.history.after_login(EVENTS_AFTER_LOGIN)[self.rows]
            yield AFTER_LOGIN, f"The first {EVENTS_AFTER_LOGIN} events after a log-in", after_login
        for least, most in _EARLIER_EVENTS:
            words = f"{least} or more" if most is None else f"{least} to {most}" if most else "no"
            name = f"{least}+" if most is None else f"{least}-{most}" if most else f"{least}"
            yield name, f"{words} earlier events".capitalize(), (earlier >= least) & (most is None or earlier <= most)


def split_of(history: History, checkpoint: Checkpoint, after_ms: int | None) -> TimeSplit:
    """Return the checkpoint's own split, or one whose test part starts at `after_ms`.

    Validation then gets one longest horizon and PART_SHARE of the usable time before, as in training. Raises
    EvaluationError.
    """
    config = checkpoint.model.config
    horizon_ms, (first_ms, end_ms) = (
        longest_horizon_ms(config.shop.within(config.horizons)),
        data_bounds(history.time_ms),
    )
    if after_ms is not None:
        usable_ms = max(after_ms - first_ms - 2 * horizon_ms, 0)
        return TimeSplit(after_ms - horizon_ms - int(PART_SHARE * usable_ms), after_ms, end_ms)
    try:
        validation_from, test_from = (
            parse_time_ms(checkpoint.training[name]) for name in ("validation_from", "test_from")
        )
    except (KeyError, TypeError, ValueError):
        raise EvaluationError(
            f"checkpoint {checkpoint.version} does not say when its test part starts: name a time with --after"
        ) from None
    return TimeSplit(validation_from, test_from, end_ms)


def _nothing_there(history: History, split: TimeSplit) -> str:
    first, last, wanted = map(rfc3339, (int(history.time_ms.min()), split.end_ms, split.test_from_ms))
    return (
        f"nothing to evaluate: no event from {wanted} on has a horizon that ends within the data, which reach from "
        f"{first} to {last}: give later events, or an earlier time with --after"
    )
