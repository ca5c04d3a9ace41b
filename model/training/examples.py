"""What every event of a history is an example of: its labels, and the part of the time that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from model.arrays import Booleans, Floats, Integers
from model.heads import Head
from model.horizons import longest_horizon_ms
from model.training.auxiliary import AuxiliaryTargets, auxiliary_targets
from model.training.chunks import Spans
from model.training.extra_heads import Classes, Targets, class_labels_of
from model.training.history import History
from model.training.labels import Labels, label_events
from model.training.split import TimeSplit


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a fit learns from: events in the order of their users' histories, and which of their labels count."""

    history: History
    spans: Spans
    bought: Booleans
    known: Booleans
    targets: Classes
    """What the extra heads are to answer `(events, heads)`."""
    auxiliary: AuxiliaryTargets
    """What the auxiliary tasks are to answer `(events, TASKS)`."""

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
    targets: Targets
    """The same for the extra heads, if there are any."""

    @classmethod
    def of(
        cls,
        history: History,
        split: TimeSplit,
        horizons: Sequence[str],
        heads: Sequence[Head] = (),
        category_buckets: int = 2,
    ) -> Self:
        """Label part after part of the history, so that memory holds only one of them."""
        shape = (len(history), len(horizons))
        bought, learnt, validation, test, settled = (history.storage.empty(shape, np.bool_) for _ in range(5))
        targets = Targets.empty(history.storage, len(history), len(heads))
        for part in history.parts():
            is_purchase = history.is_purchase[part]
            labels = label_events(history.users[part], history.time_ms[part], is_purchase, horizons)
            bought[part] = labels.bought
            learnt[part], validation[part], test[part], settled[part] = _known(history, part, split, labels)
            class_labels = class_labels_of(history, part, heads, category_buckets, longest_horizon_ms(horizons))
            targets.fill(part, class_labels, _known(history, part, split, class_labels.as_labels))
        return cls(history, split, bought, learnt, validation, test, settled, targets)

    def until(self, time_ms: int | None) -> Spans:
        """Return what each user had done before a time; without one, everything."""
        starts = self.history.starts[:-1]
        lengths = np.diff(self.history.starts)
        if time_ms is not None:
            lengths = np.add.reduceat(self.history.applied_ms < time_ms, starts, dtype=np.int64)
        return Spans(starts, lengths).where(lengths > 0)

    def training_set(self) -> TrainingSet:
        """Return what happened before the gap that precedes validation."""
        past = self.until(self.split.train_until_ms)
        auxiliary = auxiliary_targets(self.history, self.split.train_until_ms)
        return TrainingSet(self.history, past, self.bought, self.learnt, self.targets.learnt, auxiliary)

    def refit_set(self) -> TrainingSet:
        """Return everything, with the labels that the end of the data settles."""
        auxiliary = auxiliary_targets(self.history, self.split.end_ms + 1)
        return TrainingSet(self.history, self.until(None), self.bought, self.settled, self.targets.settled, auxiliary)

    def unseen(self) -> Booleans:
        """Tell which users have no event that was learnt from `(users,)`."""
        first_ms = self.history.applied_ms[self.history.starts[:-1]]
        return np.asarray(first_ms >= self.split.train_until_ms)

    def shares(self, part: Booleans) -> tuple[Integers, Integers]:
        """Return how many labels of a part are known and how many of those are purchases, per horizon."""
        return part.sum(axis=0), (self.bought & part).sum(axis=0)


def _known(history: History, part: slice, split: TimeSplit, labels: Labels) -> tuple[Booleans, ...]:
    """Return which labels are known in the training, validation and test part, and which at the end."""
    applied_ms, happened_ms = history.applied_ms[part], history.time_ms[part, None]
    is_open = ~_foretold(history.users[part], history.time_ms[part], history.is_purchase[part])[:, None]
    return (
        split.train(applied_ms, labels) & is_open,
        split.validation(applied_ms, labels) & (happened_ms >= split.validation_from_ms) & is_open,
        split.test(applied_ms, labels) & (happened_ms >= split.test_from_ms) & is_open,
        labels.known_by(split.end_ms) & is_open,
    )


def _foretold(users: Integers, time_ms: Integers, is_purchase: Booleans) -> Booleans:
    """Tell which late events `(events,)` arrived after a purchase that happened after them.

    The model has seen what their label asks for. It is common where the server tells of orders at once, and browsers of
    clicks when they please.
    """
    first, span = time_ms.min(), np.ptp(time_ms) + 2
    bought = (users - users[0]) * span + np.where(is_purchase, time_ms - first + 1, 0)
    latest = np.maximum.accumulate(bought)
    latest_before = np.concatenate([[0], latest[:-1]])
    return np.asarray(latest_before > (users - users[0]) * span + time_ms - first + 1)
