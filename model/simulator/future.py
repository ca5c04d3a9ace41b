"""The probability of a purchase given segment and mood: solves the equations of docs/simulator.md.

On a visit the shopper is a Markov renewal process (Cinlar, 1969) whose states are the pairs of price and mood: its
first-passage equations are convolutions, which a discrete Fourier transform turns into one linear system a frequency.
An absent shopper's states are the pairs of memory and price. Absence is a Poisson process in the rhythm's time: its
equation is integrated backwards from the end of the horizon, for every end in the week at once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np

from model.arrays import Floats
from model.simulator import process, rhythm
from model.simulator.distributions import gap_cdf
from model.simulator.process import Memory, Mood, Price, Segment

TABLE_STEP_S: Final = 900.0
HORIZONS_S: Final = (3600.0, 86_400.0)

_STEP_S: Final = 300.0
_FINE_S: Final = 15.0
_FINE_STEPS: Final = 1024  # four hours and a quarter: nobody's visit is as long
_FINE_PER_STEP: Final = round(_STEP_S / _FINE_S)
_ENDS: Final = round(rhythm.WEEK_S / TABLE_STEP_S)
_ABSENCE_STEPS: Final = round(process.ABSENCE_S / _STEP_S)
_BUYERS: Final = [segment for segment in Segment if segment is not Segment.BOT]
_STATES: Final = len(Price) * len(Mood)
_AWAY: Final = len(Memory) * len(Price)
_PRICE_MOVES: Final = process.price_moves()


@cache
def purchase_tables() -> Floats:
    """Return P(purchase later in the session, within 1 h, within 24 h).

    `(horizon, segment, price, mood, step of the week)`; price and mood are those of the last event, the step is its
    time in units of TABLE_STEP_S since Monday, 0:00 UTC. Bots never buy.
    """
    tables = np.zeros((1 + len(HORIZONS_S), len(Segment), _STATES, _ENDS))
    for segment in _BUYERS:
        visit = _Visit.of(segment)
        after_absence = _purchase_after_absence(segment, visit)
        tables[0, segment] = visit.bought_by[:, -1:]
        for horizon, seconds in enumerate(HORIZONS_S, start=1):
            within = _within(round(seconds / _STEP_S), visit, after_absence)
            tables[horizon, segment] = np.roll(within, -round(seconds / TABLE_STEP_S), axis=1)
    np.clip(tables, 0.0, 1.0, out=tables)  # the Fourier transform leaves rounding errors around zero
    return tables.reshape(1 + len(HORIZONS_S), len(Segment), len(Price), len(Mood), _ENDS)


@dataclass(frozen=True, slots=True)
class _Visit:
    """The rest of a visit after an event, by the state of that event."""

    bought_by: Floats
    """`(state, steps)`: probability that a later event of the visit, at most so many steps later, is a purchase."""
    ends_at: Floats
    """`(state, steps, away)`: probability that the visit's last event is so many steps later, without a purchase."""

    @classmethod
    def of(cls, segment: Segment) -> Self:
        """Solve the first-passage equations of a segment's visits."""
        # Transform: per frequency, the matrix of staying on the visit and moving to a state.
        steps = _steps_between_states(segment)  # (state, next state)
        gaps = np.fft.rfft(_gap_masses(segment), axis=1)  # (mood, frequency)
        onward = steps * np.tile(gaps.T, len(Price))[:, None, :]  # (frequency, state, next state)
        # A purchase and the end of the visit absorb; solve (I - onward) x = targets at each frequency.
        is_purchase = np.tile(np.arange(len(Mood)) == Mood.BOUGHT, len(Price))
        buys = onward[:, :, is_purchase].sum(axis=2, keepdims=True)
        onward[:, :, is_purchase] = 0.0
        leaves = _leaves(segment)
        targets = np.concatenate([buys, np.broadcast_to(leaves, (len(onward), *leaves.shape))], axis=2)
        solved = np.linalg.solve(np.eye(_STATES) - onward, targets)  # (frequency, state, buys | away)
        masses = np.fft.irfft(solved, n=_FINE_STEPS, axis=0).transpose(1, 2, 0)  # (state, buys | away, fine steps)
        bought_by = np.cumsum(masses[:, 0], axis=1)[:, ::_FINE_PER_STEP]
        return cls(bought_by, _coarser(masses[:, 1:]).transpose(0, 2, 1))


def _steps_between_states(segment: Segment) -> Floats:
    """Return P(next state | state) of a visit that goes on `(state, state)`."""
    steps = np.einsum("pmk,kpq->pmqk", process.STEPS[segment, :, :, : len(Mood)], _PRICE_MOVES[segment])
    return np.asarray(steps.reshape(_STATES, _STATES))


def _leaves(segment: Segment) -> Floats:
    """Return P(the visit ends, and the shopper is away in a state | state) `(state, away)`."""
    leaves = np.einsum("pm,mw,pq->pmwq", process.STEPS[segment, :, :, -1], process.MEMORY_AFTER, np.eye(len(Price)))
    return np.asarray(leaves.reshape(_STATES, _AWAY))


def _begins(segment: Segment) -> Floats:
    """Return P(state of a visit's first event | state while away) `(away, state)`."""
    begins = np.einsum("wk,kpq->wpqk", process.FIRST_MOOD[segment], _PRICE_MOVES[segment])
    return np.asarray(begins.reshape(_AWAY, _STATES))


def _gap_masses(segment: Segment) -> Floats:
    """Return each mood's gap distribution on the fine grid `(mood, fine steps)`, with the same mean."""
    seconds = np.arange(0.0, process.LONGEST_GAP_S + 0.5, 0.5)
    median_s = process.GAP_MEDIAN_S[segment][:, None]
    masses = np.diff(gap_cdf(seconds, median_s, process.GAP_SHAPE[segment]), axis=1)
    return _on_grid(masses, (seconds[:-1] + 0.25) / _FINE_S, _FINE_STEPS)


def _coarser(masses: Floats) -> Floats:
    """Move masses from the fine grid to steps, with the same mean."""
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
    """Return F[k, a, i]: P(purchase between k steps before end i and end i | away in state a) `(steps, away, ends)`.

    The shopper may return at once (has been away for ABSENCE_S). With the visit that begins at time t buying before
    the end e with probability G(t): dF/dt = -rate(t) * (G - F), F(e) = 0; exact for a G that is constant in a step.
    """
    begins = _begins(segment)
    first = _Visit(begins @ visit.bought_by, np.tensordot(begins, visit.ends_at, axes=1))
    visits_a_day = np.repeat(process.VISITS_A_DAY[segment], len(Price))[:, None]
    steps = round(max(HORIZONS_S) / _STEP_S)
    future = np.zeros((steps + 1, _AWAY, _ENDS))  # F, integrated backwards from the end
    buys = np.zeros((_AWAY, _ENDS))
    for step in range(1, steps + 1):
        previous, buys = buys, _within(step, first, future)
        middle_s = np.arange(_ENDS, dtype=np.float64) * TABLE_STEP_S - (step - 0.5) * _STEP_S
        stays_away = np.exp(-visits_a_day / rhythm.DAY_S * rhythm.rate_since_monday(middle_s) * _STEP_S)
        future[step] = stays_away * future[step - 1] + (1 - stays_away) * (buys + previous) / 2
    return future


def _within(steps: int, visit: _Visit, after_absence: Floats) -> Floats:
    """Return P(purchase in the last `steps` before each end) `(state, ends)`: on this visit, or after an absence.

    The latter sums over j, after which the visit ends, the probability F from there.
    """
    now = visit.bought_by[:, min(steps, visit.bought_by.shape[1] - 1), None]
    left = steps - _ABSENCE_STEPS
    if left < 0:
        return np.broadcast_to(now, (len(now), _ENDS))
    count = min(left + 1, visit.ends_at.shape[1])
    ends_at = visit.ends_at[:, :count][:, ::-1].reshape(len(now), -1)  # (state, j and away), the latest j first
    return np.asarray(now + ends_at @ after_absence[left - count + 1 : left + 1].reshape(-1, _ENDS))
