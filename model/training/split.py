"""The split by time: training, validation and test."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Booleans, Integers
from model.horizons import DAY_MS
from model.training.labels import Labels

PART_SHARE: Final = 1 / 6
"""Share of the usable time that validation and test get each, beside one longest horizon."""
_APART_DAYS: Final = 30
_APART_SHARE: Final = 0.001
_CHUNK: Final = 1_000_000


def data_bounds(time_ms: Integers) -> tuple[int, int]:
    """Return the first and the last of some times in epoch ms, without outliers from wrong clocks.

    Outliers are at most one in a thousand, and lie more than 30 days before or after all others: with one event of 2099
    every label would be known, and the test part would be empty.
    """
    first_ms = int(time_ms.min())
    chunks = [time_ms[start : start + _CHUNK] for start in range(0, len(time_ms), _CHUNK)]  # views, also of a file
    # Events per day; days with a gap of more than _APART_DAYS between them are different runs.
    counts = np.zeros((int(time_ms.max()) - first_ms) // DAY_MS + 1, np.int64)
    for chunk in chunks:
        counts += np.bincount((chunk - first_ms) // DAY_MS, minlength=len(counts))
    days = np.flatnonzero(counts)
    runs = np.split(days, np.flatnonzero(np.diff(days) > _APART_DAYS) + 1)
    # Drop runs from either end while they are too small to be data.
    to_spare = _APART_SHARE * len(time_ms)
    for end in (0, -1):
        while len(runs) > 1 and counts[runs[end]].sum() <= to_spare:
            to_spare -= counts[runs.pop(end)].sum()
    since_ms, until_ms = first_ms + runs[0][0] * DAY_MS, first_ms + (runs[-1][-1] + 1) * DAY_MS
    inside = (chunk[(chunk >= since_ms) & (chunk < until_ms)] for chunk in chunks)
    bounds = [(int(part.min()), int(part.max())) for part in inside if len(part)]
    return min(first for first, _ in bounds), max(last for _, last in bounds)


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """A forward chain of two folds: what is before `validation_from_ms` and validation, what is before the test and it.

    The test ends at `end_ms`. A label belongs to a part, or to what is before one, only if it is known before the next
    begins; so the last events of each are purged, by the length of the label's own horizon, and no purchase labels an
    event of an earlier part, not even one in the first millisecond.
    """

    validation_from_ms: int
    test_from_ms: int
    end_ms: int

    @classmethod
    def of(cls, time_ms: Integers, longest_horizon_ms: int) -> Self:
        """Give validation and test one longest horizon each, and a sixth each of the time that three horizons leave.

        The third horizon is purged at the end of training. So two thirds of the time with labels are learnt from: 6
        days and 24 hours make 3, 1.5 and 1.5 days, and of these 2, .5 and .5 have labels of the longest horizon.
        """
        first_ms, end_ms = data_bounds(time_ms)
        usable_ms = max(end_ms - first_ms - 3 * longest_horizon_ms, 0)
        part_ms = longest_horizon_ms + int(PART_SHARE * usable_ms)
        return cls(end_ms - 2 * part_ms, end_ms - part_ms, end_ms)

    def before_validation(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels the first fold is trained on `(events, horizons)`."""
        return (time_ms < self.validation_from_ms)[:, None] & labels.known_by(self.validation_from_ms - 1)

    def before_test(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels the second fold is trained on `(events, horizons)`."""
        return (time_ms < self.test_from_ms)[:, None] & labels.known_by(self.test_from_ms - 1)

    def validation(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels the first fold is measured on, and choices are made by `(events, horizons)`."""
        inside = (time_ms >= self.validation_from_ms) & (time_ms < self.test_from_ms)
        return inside[:, None] & labels.known_by(self.test_from_ms - 1)

    def test(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels the second fold is measured on `(events, horizons)`."""
        return (time_ms >= self.test_from_ms)[:, None] & labels.known_by(self.end_ms)
