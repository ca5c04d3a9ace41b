"""Past, middle and end of a history: what is learnt from, what is chosen with, and what is reported on."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from model.labels import Booleans, Integers, Labels

_SHARE = 0.15
_LARGEST_SHARE = 0.25
_HORIZONS = 1.5


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Training before `validation_from_ms`, validation before `test_from_ms`, test before `end_ms` and at it.

    A label belongs to a part only if it is settled within it. So a purchase in one part never labels an event of
    an earlier part: the purge gap before each part is as long as the horizon of the label.
    """

    validation_from_ms: int
    test_from_ms: int
    end_ms: int

    @classmethod
    def of(cls, time_ms: Integers, longest_horizon_ms: int) -> Self:
        """Give validation and test 15 % of the time each, more if that is short of 1.5 horizons, at most a quarter."""
        first_ms, end_ms = int(time_ms.min()), int(time_ms.max())
        span_ms = end_ms - first_ms
        part_ms = int(min(max(_SHARE * span_ms, _HORIZONS * longest_horizon_ms), _LARGEST_SHARE * span_ms))
        return cls(end_ms - 2 * part_ms, end_ms - part_ms, end_ms)

    def train(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels are learnt from `(events, horizons)`."""
        return self._part(time_ms, labels, None, self.validation_from_ms)

    def validation(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels decide when to stop, and calibrate."""
        return self._part(time_ms, labels, self.validation_from_ms, self.test_from_ms)

    def test(self, time_ms: Integers, labels: Labels) -> Booleans:
        """Return which labels are reported on and used for nothing else."""
        return self._part(time_ms, labels, self.test_from_ms, None)

    def _part(self, time_ms: Integers, labels: Labels, from_ms: int | None, to_ms: int | None) -> Booleans:
        inside = np.ones(len(time_ms), np.bool_)
        if from_ms is not None:
            inside &= time_ms >= from_ms
        if to_ms is not None:
            inside &= time_ms < to_ms
        return inside[:, None] & labels.known_by(self.end_ms if to_ms is None else to_ms)
