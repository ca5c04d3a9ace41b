"""The oracle: what can be known of a shopper's future from what could be seen, and from the process's own numbers.

Two steps. A Bayes filter keeps each shopper's probabilities of segment and mood given all events so far (the forward
algorithm of a hidden Markov model, Rabiner 1989). Tables say for each segment, mood and time of the week how likely a
purchase is within each horizon (`model.simulator.future`). The true propensity is their product, summed.
"""

import numpy as np
import numpy.typing as npt

from model.simulator import process, rhythm
from model.simulator.future import TABLE_STEP_S, purchase_tables
from model.simulator.population import Integers
from model.simulator.process import Floats, Memory, Mood, Segment

_STAY = process.STEPS[:, :, : len(Mood)]  # (segment, mood, next mood)
_LEAVE_WITH = process.STEPS[:, :, len(Mood), None] * np.stack(
    [1 - process.WARM_AFTER, process.WARM_AFTER], axis=1
)  # (segment, mood, memory)
_RETURN_RATE = process.VISITS_A_DAY / rhythm.DAY_S  # (segment, memory), per second of the rhythm's time


class Oracle:
    """An `Observer` that knows the process but sees only the events."""

    def __init__(self, users: int, start_ms: int) -> None:
        self._beliefs = np.zeros((users, len(Segment), len(Mood)))  # all zero: nothing seen yet
        self._last_s = np.full(users, start_ms / 1000 - process.ABSENCE_S)
        self._tables = purchase_tables()  # (horizon, segment, mood, step of the week)

    def observe(self, shoppers: Integers, time_ms: Integers, symbols: Integers, is_first_of_visit: Integers) -> Floats:
        """Return the true propensities `(events, horizons)`: session, 1 h, 24 h."""
        time_s, first = time_ms / 1000, is_first_of_visit == 1
        predicted = np.empty((len(shoppers), len(Segment), len(Mood)))
        predicted[~first] = self._stayed(shoppers[~first], time_s[~first])
        predicted[first] = self._returned(shoppers[first], time_s[first])
        beliefs = predicted * process.SHOWS[:, :, symbols].transpose(2, 0, 1)
        beliefs /= beliefs.sum(axis=(1, 2), keepdims=True)
        self._beliefs[shoppers] = beliefs
        self._last_s[shoppers] = time_s
        return np.asarray(np.einsum("nsm,hsmn->nh", beliefs, self._at(time_s)))

    def _stayed(self, shoppers: Integers, time_s: Floats) -> Floats:
        gaps_s = (time_s - self._last_s[shoppers])[:, None, None]
        density = process.gap_density(gaps_s, process.GAP_MEDIAN_S, process.GAP_SHAPE[:, None])
        return np.asarray(np.einsum("nsm,smk->nsk", self._beliefs[shoppers], _STAY) * density)

    def _returned(self, shoppers: Integers, time_s: Floats) -> Floats:
        """Weigh how every segment and memory would come back now; the rhythm's rate, the same for all, is left out."""
        left_with = np.einsum("nsm,smw->nsw", self._beliefs[shoppers], _LEAVE_WITH)
        free_s = (rhythm.elapsed(time_s) - rhythm.elapsed(self._last_s[shoppers] + process.ABSENCE_S))[:, None, None]
        comes_now = left_with * _RETURN_RATE * np.exp(-_RETURN_RATE * free_s)
        never_seen = self._beliefs[shoppers].sum(axis=(1, 2)) == 0
        comes_now[never_seen] = _first_visit(free_s[never_seen])
        return np.asarray(np.einsum("nsw,swm->nsm", comes_now, process.FIRST_MOOD))

    def _at(self, time_s: Floats) -> Floats:
        """Return the tables at times of the week `(horizon, segment, mood, events)`, interpolated."""
        step = rhythm.since_monday(time_s) / TABLE_STEP_S
        lower: npt.NDArray[np.int64] = step.astype(np.int64)
        share = step - lower
        steps = self._tables.shape[-1]
        before, after = self._tables[..., lower % steps], self._tables[..., (lower + 1) % steps]
        return np.asarray(before * (1 - share) + after * share)


def _first_visit(since_start_s: Floats) -> Floats:
    """Weigh how every segment would pay its first visit now: an old customer or a newcomer `(n, segment, memory)`."""
    newcomers_s = process.NEWCOMER_DAYS * rhythm.DAY_S
    rate = _RETURN_RATE[:, Memory.COLD]
    old = (1 - process.NEWCOMER_SHARE) * rate * np.exp(-rate * since_start_s[:, 0])  # (n, segment)
    new = process.NEWCOMER_SHARE / newcomers_s * (since_start_s[:, 0] < newcomers_s)
    comes_now = np.zeros((len(since_start_s), len(Segment), len(Memory)))
    comes_now[:, :, Memory.COLD] = process.SEGMENT_SHARES * (old + new)
    return comes_now
