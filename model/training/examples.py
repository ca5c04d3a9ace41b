"""Labels of every event of a history, and the part of the time split in which they count."""

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
    """What a fit learns from: the events of the users' histories, and which of their labels count."""

    history: History
    spans: Spans
    bought: Booleans
    known: Booleans
    """`(events, horizons)`"""
    targets: Classes
    """The right classes of the extra heads `(events, heads)`."""
    auxiliary: AuxiliaryTargets
    """The right answers of the auxiliary tasks `(events, TASKS)`."""

    @property
    def base_rates(self) -> Floats:
        """Per horizon, the share of the known labels that are purchases."""
        known = self.known.sum(axis=0)
        return np.asarray((self.bought & self.known).sum(axis=0) / np.maximum(known, 1))


@dataclass(frozen=True, slots=True)
class Examples:
    """Labels `(events, horizons)` in the history's order, and masks of which labels are known in which part.

    An event belongs to the part in which it was applied, because its features contain what arrived before it. An event
    that happened in an earlier part (a file read twice is full of them) is not evaluated.
    """

    history: History
    split: TimeSplit
    bought: Booleans
    learnt: Booleans
    validation: Booleans
    test: Booleans
    settled: Booleans
    """Known by the end of the data, in whatever part: what the refit learns from."""
    targets: Targets
    """The same for the extra heads."""

    @classmethod
    def of(
        cls,
        history: History,
        split: TimeSplit,
        horizons: Sequence[str],
        heads: Sequence[Head] = (),
        category_buckets: int = 2,
    ) -> Self:
        """Label the history part by part, so that only one part is in memory."""
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
        """Return each user's events before a time; without a time, all events."""
        starts = self.history.starts[:-1]
        lengths = np.diff(self.history.starts)
        if time_ms is not None:
            lengths = np.add.reduceat(self.history.applied_ms < time_ms, starts, dtype=np.int64)
        return Spans(starts, lengths).where(lengths > 0)

    def training_set(self) -> TrainingSet:
        """Return the events before the gap that precedes validation."""
        past = self.until(self.split.train_until_ms)
        auxiliary = auxiliary_targets(self.history, self.split.train_until_ms)
        return TrainingSet(self.history, past, self.bought, self.learnt, self.targets.learnt, auxiliary)

    def refit_set(self) -> TrainingSet:
        """Return all events, with the labels that are known by the end of the data."""
        auxiliary = auxiliary_targets(self.history, self.split.end_ms + 1)
        return TrainingSet(self.history, self.until(None), self.bought, self.settled, self.targets.settled, auxiliary)

    def unseen(self) -> Booleans:
        """Return which users have no event in the training part `(users,)`."""
        first_ms = self.history.applied_ms[self.history.starts[:-1]]
        return np.asarray(first_ms >= self.split.train_until_ms)

    def shares(self, part: Booleans) -> tuple[Integers, Integers]:
        """Return how many labels of a part are known and how many of those are purchases, per horizon."""
        return part.sum(axis=0), (self.bought & part).sum(axis=0)


def _known(history: History, part: slice, split: TimeSplit, labels: Labels) -> tuple[Booleans, ...]:
    """Return which labels are known in the training, validation and test part, and at the end of the data."""
    applied_ms, happened_ms = history.applied_ms[part], history.time_ms[part, None]
    is_fair = ~_follow_their_purchase(history.users[part], history.time_ms[part], history.is_purchase[part])[:, None]
    return (
        split.train(applied_ms, labels) & is_fair,
        split.validation(applied_ms, labels) & (happened_ms >= split.validation_from_ms) & is_fair,
        split.test(applied_ms, labels) & (happened_ms >= split.test_from_ms) & is_fair,
        labels.known_by(split.end_ms) & is_fair,
    )


def _follow_their_purchase(users: Integers, time_ms: Integers, is_purchase: Booleans) -> Booleans:
    """Return which late events `(events,)` arrived after a purchase that happened after them.

    Their features contain what their label asks for. This is common where the server sends orders at once, and browsers
    send clicks later.
    """
    # A running maximum over all users at once: each user's times are lifted above those of the user before.
    first, span = time_ms.min(), np.ptp(time_ms) + 2
    bought = (users - users[0]) * span + np.where(is_purchase, time_ms - first + 1, 0)
    latest = np.maximum.accumulate(bought)
    latest_before = np.concatenate([[0], latest[:-1]])
    return np.asarray(latest_before > (users - users[0]) * span + time_ms - first + 1)
