"""What every event of a history is an example of: its labels, and the part of the time that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from model.history import History
from model.labels import Booleans, Integers, label_events
from model.pieces import Stretches
from model.ranking import Floats
from model.split import TimeSplit


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a fit learns from: events in the order of their users' histories, and which of their labels count."""

    history: History
    stretches: Stretches
    bought: Booleans
    known: Booleans

    @property
    def base_rates(self) -> Floats:
        """Per horizon, the share of the known labels that are purchases."""
        known = self.known.sum(axis=0)
        return np.asarray((self.bought & self.known).sum(axis=0) / np.maximum(known, 1))


@dataclass(frozen=True, slots=True)
class Examples:
    """Labels `(events, horizons)` in the history's order, and masks that tell which are known in which part.

    An event belongs to the part in which it was applied, because it has seen what arrived before it. One that happened
    in an earlier part than it was applied in (a file read twice is full of them) is no measure of anything.
    """

    history: History
    split: TimeSplit
    bought: Booleans
    learnt: Booleans
    validation: Booleans
    test: Booleans
    settled: Booleans
    """Known by the end of the data, in whatever part: what the last fit learns from."""

    @classmethod
    def of(cls, history: History, split: TimeSplit, horizons: Sequence[str]) -> Self:
        """Label part after part of the history, so that memory holds only one of them."""
        shape = (len(history), len(horizons))
        bought, learnt, validation, test, settled = (history.storage.empty(shape, np.bool_) for _ in range(5))
        for part in history.parts():
            applied_ms = history.applied_ms[part]
            is_purchase = history.is_purchase[part]
            labels = label_events(history.users[part], history.time_ms[part], is_purchase, horizons)
            bought[part] = labels.bought
            learnt[part] = split.train(applied_ms, labels)
            happened_ms = history.time_ms[part, None]
            validation[part] = split.validation(applied_ms, labels) & (happened_ms >= split.validation_from_ms)
            test[part] = split.test(applied_ms, labels) & (happened_ms >= split.test_from_ms)
            settled[part] = labels.known_by(split.end_ms)
        return cls(history, split, bought, learnt, validation, test, settled)

    def until(self, time_ms: int | None) -> Stretches:
        """Return what each user had done before a time; without one, everything."""
        starts = self.history.starts[:-1]
        lengths = np.diff(self.history.starts)
        if time_ms is not None:
            lengths = np.add.reduceat(self.history.applied_ms < time_ms, starts, dtype=np.int64)
        return Stretches(starts, lengths).where(lengths > 0)

    def of_training(self) -> Lessons:
        """Return what happened before the gap that precedes validation."""
        return Lessons(self.history, self.until(self.split.learnt_until_ms), self.bought, self.learnt)

    def of_all_time(self) -> Lessons:
        """Return everything, with the labels that the end of the data settles."""
        return Lessons(self.history, self.until(None), self.bought, self.settled)

    def unseen(self) -> Booleans:
        """Tell which users have no event that was learnt from `(users,)`."""
        first_ms = self.history.applied_ms[self.history.starts[:-1]]
        return np.asarray(first_ms >= self.split.learnt_until_ms)

    def shares(self, part: Booleans) -> tuple[Integers, Integers]:
        """Return how many labels of a part are known and how many of those are purchases, per horizon."""
        return part.sum(axis=0), (self.bought & part).sum(axis=0)
