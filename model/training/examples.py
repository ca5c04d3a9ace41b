"""Labels of every event of a history, and the part of the time split in which they count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import xxhash

from model.arrays import Booleans, Floats, Integers
from model.heads import UNKNOWN, Head
from model.horizons import longest_horizon_ms
from model.training.auxiliary import AuxiliaryTargets, auxiliary_targets
from model.training.chunks import Spans
from model.training.extra_heads import Classes, ClassTargets, Targets, class_labels_of
from model.training.history import History
from model.training.labels import Labels, amounts_after, label_events
from model.training.split import TimeSplit

AmountTargets = Targets[np.float32]

_HIDING: Final = 16  # a hash of its own: ids may be sharded by others


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
    amounts: npt.NDArray[np.float32]
    """What follows in money `(events, 1)`, NaN if unknown; without columns if money is not asked."""
    auxiliary: AuxiliaryTargets
    """The right answers of the auxiliary tasks `(events, TASKS)`."""

    def user_weights(self) -> Floats:
        """Return what an event of each user counts in the loss `(users,)`: one by the root of how many they have.

        A mean over events is decided by a few heavy shoppers, who are alike in themselves and unlike the others. The
        weights' mean over the events is 1.
        """
        weights = np.zeros(len(self.history.user_ids))
        roots = np.sqrt(self.spans.lengths)
        weights[self.history.users[self.spans.starts]] = self.spans.events / roots.sum() / roots
        return weights

    @property
    def base_rates(self) -> Floats:
        """Per horizon, the share of the known labels that are positive."""
        known = self.known.sum(axis=0)
        return np.asarray((self.bought & self.known).sum(axis=0) / np.maximum(known, 1))


@dataclass(frozen=True, slots=True)
class Fold:
    """A step of the forward chain: what is learnt from, and later events to measure on, also of hidden shoppers."""

    name: str
    training_set: TrainingSet
    spans: Spans
    """The histories until the last measured event."""
    measured: Booleans
    """Which labels it is measured on `(events, horizons)`."""
    amounts: npt.NDArray[np.float32]
    """What it is measured on in money `(events, 1)`, NaN elsewhere; without columns if money is not asked."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Labels `(events, horizons)` in the history's order, and masks of which labels are known in which part.

    An event belongs to the part in which it was applied, because its features contain what arrived before it. An event
    that happened in an earlier part (a file read twice is full of them) is not evaluated.
    """

    history: History
    split: TimeSplit
    hidden: Booleans
    """The users of whom nothing is learnt before the test part `(users,)`, so that they are new to what is measured."""
    bought: Booleans
    learnt: Booleans
    """What the first fold learns from."""
    validation: Booleans
    learnt_before_test: Booleans
    """What the second fold learns from."""
    test: Booleans
    settled: Booleans
    """Known by the end of the data, in whatever part: what is learnt from at last."""
    targets: ClassTargets
    """The same for the extra heads."""
    amounts: AmountTargets
    """And for money, `(events, 1)`, or without columns."""

    @classmethod
    def of(  # noqa: PLR0913, PLR0917 - the extra heads have defaults
        cls,
        history: History,
        split: TimeSplit,
        hidden: Booleans,
        horizons: Sequence[str],
        heads: Sequence[Head] = (),
        category_buckets: int = 2,
    ) -> Self:
        """Label the history part by part, so that only one part is in memory."""
        shape = (len(history), len(horizons))
        bought, learnt, validation, learnt_before_test, test, settled = masks = [
            history.storage.empty(shape, np.bool_) for _ in range(6)
        ]
        within, money = history.shop.within(horizons), history.shop.money
        of_purchases = [horizon for horizon in horizons if horizon not in history.shop.goals] or within
        targets = Targets.empty(history.storage, len(history), len(heads), np.int32(UNKNOWN))
        amounts = Targets.empty(history.storage, len(history), int(money is not None), np.float32(np.nan))
        for part in history.parts():
            users, time_ms, is_purchase = history.users[part], history.time_ms[part], history.is_purchase[part, None]
            is_positive = history.is_positive(part, horizons)
            labels = label_events(users, time_ms, is_positive, within)
            bought[part] = labels.bought
            for mask, known in zip(masks[1:], _known(history, part, split, hidden, labels, is_positive), strict=True):
                mask[part] = known
            class_labels = class_labels_of(history, part, heads, category_buckets, longest_horizon_ms(of_purchases))
            of_classes = class_labels.as_labels
            targets.fill(part, class_labels.classes, _known(history, part, split, hidden, of_classes, is_purchase))
            if money is not None:
                found = amounts_after(users, time_ms, np.nan_to_num(history.values[part]), money.within)
                as_labels = Labels(found.amounts[:, None] > 0, found.known_at_ms[:, None])
                sums = found.amounts[:, None].astype(np.float32)
                amounts.fill(part, sums, _known(history, part, split, hidden, as_labels, is_purchase))
        masks_of_labels = (learnt, validation, learnt_before_test, test, settled)
        return cls(history, split, hidden, bought, *masks_of_labels, targets, amounts)

    def until(self, time_ms: int | None) -> Spans:
        """Return each user's events before a time; without a time, all events."""
        starts = self.history.starts[:-1]
        lengths = np.diff(self.history.starts)
        if time_ms is not None:
            lengths = np.add.reduceat(self.history.applied_ms < time_ms, starts, dtype=np.int64)
        return Spans(starts, lengths).where(lengths > 0)

    def validation_fold(self) -> Fold:
        """Learn from what is before the validation part, measure on it."""
        spans = self.until(self.split.test_from_ms)
        answers = self.targets.learnt, self.amounts.learnt
        learnt = self._before(self.split.validation_from_ms, self.learnt, *answers)
        return Fold("validation", learnt, spans, self.validation, self.amounts.validation)

    def test_fold(self) -> Fold:
        """Learn from what is before the test part, measure on it."""
        answers = self.targets.learnt_before_test, self.amounts.learnt_before_test
        learnt = self._before(self.split.test_from_ms, self.learnt_before_test, *answers)
        return Fold("test", learnt, self.until(None), self.test, self.amounts.test)

    def everything(self) -> TrainingSet:
        """Return all events, with the labels that are known by the end of the data."""
        auxiliary = auxiliary_targets(self.history, self.split.end_ms + 1)
        answers = self.targets.settled, self.amounts.settled
        return TrainingSet(self.history, self.until(None), self.bought, self.settled, *answers, auxiliary)

    def _before(self, time_ms: int, known: Booleans, targets: Classes, amounts: npt.NDArray[np.float32]) -> TrainingSet:
        past = self.until(time_ms)
        seen = past.where(~self.hidden[self.history.users[past.starts]])
        auxiliary = auxiliary_targets(self.history, time_ms)
        return TrainingSet(self.history, seen, self.bought, known, targets, amounts, auxiliary)

    def unseen(self) -> Booleans:
        """Return of which users nothing is learnt before the test part `(users,)`: they are hidden, or came later."""
        first_ms = self.history.applied_ms[self.history.starts[:-1]]
        return np.asarray(self.hidden | (first_ms >= self.split.test_from_ms))

    def shares(self, part: Booleans) -> tuple[Integers, Integers]:
        """Return how many labels of a part are known and how many of those are positive, per horizon."""
        return part.sum(axis=0), (self.bought & part).sum(axis=0)


def hidden_users(history: History) -> Booleans:
    """Choose a fifth of the users, by their ids, whoever else is in the history `(users,)`."""
    return np.array([xxhash.xxh32_intdigest(user_id.encode(), seed=_HIDING) % 5 == 0 for user_id in history.user_ids])


def _known(  # noqa: PLR0913, PLR0917 - whose labels, and what they ask for
    history: History, part: slice, split: TimeSplit, hidden: Booleans, labels: Labels, is_positive: Booleans
) -> tuple[Booleans, ...]:
    """Return which labels are known in each mask of `Examples`, in their order.

    `is_positive` are the events that the labels ask for `(events, columns)`.
    """
    applied_ms, happened_ms = history.applied_ms[part], history.time_ms[part, None]
    follows = [_follow_what_is_asked(history.users[part], history.time_ms[part], column) for column in is_positive.T]
    is_fair = ~np.stack(follows, axis=1)
    is_learnt = is_fair & ~hidden[history.users[part], None]
    return (
        split.before_validation(applied_ms, labels) & is_learnt,
        split.validation(applied_ms, labels) & (happened_ms >= split.validation_from_ms) & is_fair,
        split.before_test(applied_ms, labels) & is_learnt,
        split.test(applied_ms, labels) & (happened_ms >= split.test_from_ms) & is_fair,
        labels.known_by(split.end_ms) & is_fair,
    )


def _follow_what_is_asked(users: Integers, time_ms: Integers, is_positive: Booleans) -> Booleans:
    """Return which late events `(events,)` arrived after a purchase, or what a goal asks, that happened after them.

    Their features contain what their label asks for. This is common where the server sends orders at once, and browsers
    send clicks later.
    """
    # A running maximum over all users at once: each user's times are lifted above those of the user before.
    first, span = time_ms.min(), np.ptp(time_ms) + 2
    bought = (users - users[0]) * span + np.where(is_positive, time_ms - first + 1, 0)
    latest = np.maximum.accumulate(bought)
    latest_before = np.concatenate([[0], latest[:-1]])
    return np.asarray(latest_before > (users - users[0]) * span + time_ms - first + 1)
