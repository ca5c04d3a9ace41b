"""How likely a purchase is, for a shopper whose segment and mood are known: the equations of docs/simulator.md, solved.

On a visit the shopper is a Markov renewal process (Cinlar, 1969): its first-passage equations are convolutions, which
a discrete Fourier transform turns into one linear system a frequency. Absence is a Poisson process in the rhythm's
time: its equation is integrated backwards from the end of the horizon, for every end in the week at once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np

from model.simulator import process, rhythm
from model.simulator.process import Floats, Memory, Mood, Segment

TABLE_STEP_S: Final = 300.0
HORIZONS_S: Final = (3600.0, 86_400.0)

_FINE_S: Final = 15.0
_FINE_STEPS: Final = 2048  # eight and a half hours: nobody's visit is as long
_FINE_PER_STEP: Final = round(TABLE_STEP_S / _FINE_S)
_STEPS_OF_WEEK: Final = round(rhythm.WEEK_S / TABLE_STEP_S)
_ABSENCE_STEPS: Final = round(process.ABSENCE_S / TABLE_STEP_S)
_BUYERS: Final = [segment for segment in Segment if segment is not Segment.BOT]


@cache
def purchase_tables() -> Floats:
    """Return P(purchase later in the session, within 1 h, within 24 h).

    `(horizon, segment, mood, step of the week)`; the mood is that of the last event, the step is its time in units of
    TABLE_STEP_S since Monday, 0:00 UTC. Bots never buy.
    """
    tables = np.zeros((1 + len(HORIZONS_S), len(Segment), len(Mood), _STEPS_OF_WEEK))
    for segment in _BUYERS:
        visit = _Visit.of(segment)
        after_absence = _purchase_after_absence(segment, visit)
        tables[0, segment] = visit.bought_by[:, -1:]
        for horizon, seconds in enumerate(HORIZONS_S, start=1):
            tables[horizon, segment] = _within(round(seconds / TABLE_STEP_S), visit, after_absence)
    return tables


@dataclass(frozen=True, slots=True)
class _Visit:
    """The rest of a visit, seen from an event, by the mood of that event."""

    bought_by: Floats
    """`(mood, steps)`: probability that a later event of the visit, at most so many steps later, is a purchase."""
    ends_at: Floats
    """`(mood, memory, steps)`: probability that the visit's last event is so many steps later, without a purchase."""

    @classmethod
    def of(cls, segment: Segment) -> Self:
        """Solve the first-passage equations of a segment's visits."""
        steps = process.STEPS[segment]
        gaps = np.fft.rfft(_gap_masses(segment), axis=1)  # (mood, frequency)
        onward = steps[None, :, : len(Mood)] * gaps.T[:, None, :]  # (frequency, mood, next mood)
        buys = onward[:, :, Mood.BOUGHT, None].copy()
        onward[:, :, Mood.BOUGHT] = 0.0
        leaves = steps[:, -1, None] * np.stack([1 - process.WARM_AFTER, process.WARM_AFTER], axis=1)
        targets = np.concatenate([buys, np.broadcast_to(leaves, (len(onward), *leaves.shape))], axis=2)
        solved = np.linalg.solve(np.eye(len(Mood)) - onward, targets)  # (frequency, mood, buys | memory)
        masses = np.fft.irfft(solved, n=_FINE_STEPS, axis=0).transpose(1, 2, 0)  # (mood, buys | memory, fine steps)
        bought_by = np.cumsum(masses[:, 0], axis=1)[:, ::_FINE_PER_STEP]
        return cls(bought_by, _coarser(masses[:, 1:]))


def _gap_masses(segment: Segment) -> Floats:
    """Return each mood's gaps as masses on the fine grid `(mood, fine steps)`, their means kept."""
    seconds = np.arange(0.0, process.LONGEST_GAP_S + 0.5, 0.5)
    median_s = process.GAP_MEDIAN_S[segment][:, None]
    masses = np.diff(process.gap_cdf(seconds, median_s, process.GAP_SHAPE[segment]), axis=1)
    return _on_grid(masses, (seconds[:-1] + 0.25) / _FINE_S, _FINE_STEPS)


def _coarser(masses: Floats) -> Floats:
    """Move masses from the fine grid to steps, their means kept."""
    positions = np.arange(masses.shape[-1]) / _FINE_PER_STEP
    return _on_grid(masses, positions, masses.shape[-1] // _FINE_PER_STEP + 1)


def _on_grid(masses: Floats, positions: Floats, size: int) -> Floats:
    """Split the mass at each position `(..., positions)` between its two neighbours on the grid `(..., size)`."""
    lower = positions.astype(np.int64)
    share = positions - lower
    split = np.zeros((len(positions), size))
    split[np.arange(len(positions)), lower] = 1 - share
    inside = lower + 1 < size
    split[np.flatnonzero(inside), lower[inside] + 1] += share[inside]
    return np.asarray(masses @ split)


def _purchase_after_absence(segment: Segment, visit: _Visit) -> Floats:
    """Return F[k, i, w]: P(purchase between k steps before step i of the week and step i | absent, memory w).

    The shopper may come back at once (has been away for ABSENCE_S). With the visit that begins at time t buying before
    the end e with probability G(t): dF/dt = -rate(t) * (G - F), F(e) = 0; exact for a G that is constant in a step.
    """
    first = process.FIRST_MOOD[segment]  # (memory, mood)
    bought_by = first @ visit.bought_by  # (memory, steps)
    ends_at = np.einsum("wm,mvk->wvk", first, visit.ends_at)  # (memory, memory after, steps)
    steps = round(max(HORIZONS_S) / TABLE_STEP_S)
    future = np.zeros((steps + 1, _STEPS_OF_WEEK, len(Memory)))
    buys = np.zeros((_STEPS_OF_WEEK, len(Memory)))
    middle_s: Floats = (np.arange(_STEPS_OF_WEEK, dtype=np.float64) - 0.5) * TABLE_STEP_S
    for step in range(1, steps + 1):
        previous, buys = buys, _visit_now(step, bought_by, ends_at, future)
        rate = rhythm.rate_since_monday(middle_s - (step - 1) * TABLE_STEP_S)[:, None]
        stays_away = np.exp(-process.VISITS_A_DAY[segment] / rhythm.DAY_S * rate * TABLE_STEP_S)
        future[step] = stays_away * future[step - 1] + (1 - stays_away) * (buys + previous) / 2
    return future


def _visit_now(step: int, bought_by: Floats, ends_at: Floats, future: Floats) -> Floats:
    """Return P(purchase before the end | a visit begins `step` steps before it) `(step of the week, memory)`."""
    buys = np.broadcast_to(bought_by[:, min(step, bought_by.shape[1] - 1)], (future.shape[1], len(Memory)))
    return buys + _after_this_visit(step, ends_at, future)


def _after_this_visit(step: int, ends_at: Floats, future: Floats) -> Floats:
    """Sum over when the visit ends: it ended j steps later, then the shopper was away, then F. `(week, state)`."""
    left = step - _ABSENCE_STEPS
    if left < 0:
        return np.zeros((future.shape[1], len(ends_at)))
    count = min(left + 1, ends_at.shape[-1])
    later = future[left - count + 1 : left + 1][::-1]  # (j, week, memory)
    return np.asarray(np.einsum("swj,jiw->is", ends_at[:, :, :count], later))


def _within(steps: int, visit: _Visit, after_absence: Floats) -> Floats:
    """Return P(purchase within so many steps) `(mood, step of the week)`."""
    now = visit.bought_by[:, min(steps, visit.bought_by.shape[1] - 1), None]
    later = _after_this_visit(steps, visit.ends_at, after_absence).T  # (mood, step of the week at which it ends)
    return np.asarray(now + np.roll(later, -steps, axis=1))
