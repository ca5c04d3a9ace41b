"""Labels of the extra heads, and how often their predictions are right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Integers
from model.heads import NEXT_TYPE, UNKNOWN, Head, bucket_of
from model.lstm import LSTMConfig, PropensityLSTM
from model.training.chunks import Spans
from model.training.history import History
from model.training.labels import NEVER, Labels, next_purchase_rows
from model.training.predict import extra_outputs
from model.training.storage import Storage
from service.errors import TrainingError

Classes = npt.NDArray[np.int32]

MIN_LABELS: Final = 100


@dataclass(frozen=True, slots=True)
class ClassLabels:
    """The right classes `(events, heads)` and when each is known; UNKNOWN and NEVER where there is none."""

    classes: Classes
    settled_at_ms: Integers

    @property
    def as_labels(self) -> Labels:
        """Return the labels that a time split needs."""
        return Labels(self.classes != UNKNOWN, self.settled_at_ms)


def class_labels_of(history: History, part: slice, heads: Sequence[Head], buckets: int, horizon_ms: int) -> ClassLabels:
    """Return the labels of whole users.

    A next type is known when the next event is applied; a category at the end of the horizon, like that horizon's
    label.
    """
    found = [
        _next_types(history, part) if head == NEXT_TYPE else _purchase_categories(history, part, buckets, horizon_ms)
        for head in heads
    ]
    count = len(history.users[part])
    blank = np.empty((count, 0), np.int32), np.empty((count, 0), np.int64)
    classes, settled_at_ms = (np.column_stack([first, *rest]) for first, *rest in zip(blank, *found, strict=True))
    return ClassLabels(classes.astype(np.int32), settled_at_ms.astype(np.int64))


def _next_types(history: History, part: slice) -> tuple[Classes, Integers]:
    users, applied_ms = history.users[part], history.applied_ms[part]
    goes_on = users[1:] == users[:-1]
    classes, settled_at_ms = np.full(len(users), UNKNOWN, np.int32), np.full(len(users), NEVER)
    classes[:-1] = np.where(goes_on, history.own_types[part][1:].astype(np.int32), UNKNOWN)
    settled_at_ms[:-1] = np.where(goes_on, applied_ms[1:], NEVER)
    return classes, settled_at_ms


def _purchase_categories(history: History, part: slice, buckets: int, horizon_ms: int) -> tuple[Classes, Integers]:
    users, time_ms = history.users[part], history.time_ms[part]
    purchase = next_purchase_rows(users, time_ms, history.is_purchase[part])
    category = bucket_of(history.categories[part], buckets)[purchase]
    is_known = (purchase >= 0) & (time_ms[purchase] <= time_ms + horizon_ms) & (category > 0)
    return np.where(is_known, category, UNKNOWN).astype(np.int32), np.where(is_known, time_ms + horizon_ms, NEVER)


Answer = TypeVar("Answer", np.int32, np.float32)


@dataclass(frozen=True, slots=True)
class Targets(Generic[Answer]):
    """The right answers `(events, heads)` that count in each part of the time split; `unknown` elsewhere."""

    unknown: Answer
    learnt: npt.NDArray[Answer]
    validation: npt.NDArray[Answer]
    learnt_before_test: npt.NDArray[Answer]
    test: npt.NDArray[Answer]
    settled: npt.NDArray[Answer]

    @classmethod
    def empty(cls, storage: Storage, events: int, heads: int, unknown: Answer) -> Self:
        """Return uninitialised targets."""
        return cls(unknown, *(storage.empty((events, heads), type(unknown)) for _ in range(5)))

    def fill(self, part: slice, answers: npt.NDArray[Answer], known: Sequence[Booleans]) -> None:
        """Set a part's targets; `known` are the masks, in the order of the fields."""
        for targets, mask in zip(
            (self.learnt, self.validation, self.learnt_before_test, self.test, self.settled), known, strict=True
        ):
            targets[part] = np.where(mask, answers, self.unknown)


ClassTargets = Targets[np.int32]


def check_targets(targets: ClassTargets, heads: Sequence[Head]) -> None:
    """Raise TrainingError if a head has too few known labels in the training part."""
    for head, count in zip(heads, (targets.learnt != UNKNOWN).sum(axis=0).tolist(), strict=True):
        if count < MIN_LABELS:
            raise TrainingError(
                f"too little to learn from: the training part has {count:,} known labels for --head {head}, at "
                f"least {MIN_LABELS} are needed: give a longer history, one with categories, or leave that head out"
            )


def class_shares(targets: Classes, classes: int) -> npt.NDArray[np.float64]:
    """Return the frequency of each class `(classes,)` with add-one smoothing."""
    counts = np.bincount(targets[targets != UNKNOWN], minlength=classes) + 1.0
    return np.asarray(counts / counts.sum())


def measure_heads(
    model: PropensityLSTM, history: History, spans: Spans, targets: ClassTargets, unseen: Booleans
) -> dict[str, dict[str, Any]]:
    """Return the top-1 and top-5 accuracy in the test part, of a model that has not learnt from it, by group and head.

    Beside it, that of the most frequent classes before the test, and the top-1 accuracy of the event's own type or
    category. `unseen` `(users,)` selects the users of whom nothing was learnt.
    """
    config = model.config
    test_unseen = np.where(unseen[history.users][:, None], targets.test, UNKNOWN)
    parts = {"test": targets.test, "test_unseen_users": test_unseen}
    # Only users with a known label are run; (events, heads) the place of the right class among the ranked ones.
    wanted = targets.test
    is_measured = np.logical_or.reduceat((wanted != UNKNOWN).any(axis=1), spans.starts)
    ranks = np.full(wanted.shape, np.iinfo(np.int32).max, np.int32)
    for rows, found in _ranks(model, history, spans.where(is_measured), wanted):
        ranks[rows] = found
    frequent, at_hand = _ranks_by_frequency(targets.learnt_before_test, wanted, config), _at_hand(history, config)
    return {
        part: {
            head: _shares(ranks[known, place], frequent[known, place])
            | {"at_hand_top1": _share(at_hand[known, place] == right[known, place])}
            for place, head in enumerate(config.heads)
            for known in (right[:, place] != UNKNOWN,)
        }
        for part, right in parts.items()
    }


def _ranks(
    model: PropensityLSTM, history: History, spans: Spans, wanted: Classes
) -> Iterator[tuple[Integers, Classes]]:
    """Yield rows, and the rank of the right class among the model's logits `(rows, heads)`, from 0."""
    for rows, logits in extra_outputs(model, history, spans):
        right = np.maximum(wanted[rows], 0)  # an unknown one gets a rank that nobody reads
        ranks = [
            (found > np.take_along_axis(found, right[:, place, None], axis=1)).sum(axis=1)
            for place, found in enumerate(logits)
        ]
        yield rows, np.stack(ranks, axis=1).astype(np.int32)


def _ranks_by_frequency(learnt: Classes, wanted: Classes, config: LSTMConfig) -> Classes:
    ranks = np.zeros(wanted.shape, np.int32)
    for place, head in enumerate(config.heads):
        shares = class_shares(learnt[:, place], config.classes(head))
        by_class = np.empty(len(shares), np.int32)
        by_class[np.argsort(-shares, kind="stable")] = np.arange(len(shares))
        ranks[:, place] = by_class[np.maximum(wanted[:, place], 0)]
    return ranks


def _at_hand(history: History, config: LSTMConfig) -> Classes:
    """Return the event's own type and category `(events, heads)`: the naive guess."""
    own = [
        history.own_types if head == NEXT_TYPE else bucket_of(history.categories, config.category_buckets)
        for head in config.heads
    ]
    return np.column_stack(own).astype(np.int32)


def _shares(ranks: Classes, frequent: Classes) -> dict[str, Any]:
    measured: dict[str, Any] = {"events": len(ranks)}
    for name, found in (("", ranks), ("most_frequent_", frequent)):
        for most in (1, 5):
            measured[f"{name}top{most}"] = _share(found < most)
    return measured


def _share(right: Booleans) -> float | None:
    return float(right.mean()) if len(right) else None
