"""The oracle: the exact propensity given the observed events and the parameters of the process.

Two steps. A Bayes filter keeps each shopper's probabilities of segment and mood given all events so far (the forward
algorithm of a hidden Markov model, Rabiner 1989). Tables say for each segment, price, mood and time of the week how
likely a purchase is within each horizon (`model.simulator.future`). The true propensity is their product, summed.
"""

import numpy as np
import numpy.typing as npt

from model.arrays import Floats, Integers
from model.simulator import process, rhythm
from model.simulator.distributions import gap_density
from model.simulator.future import TABLE_STEP_S, purchase_tables
from model.simulator.population import Observations
from model.simulator.process import Memory, Mood, Price, Segment, Symbol
from model.simulator.wording import likelihood_of_stars, likelihood_of_words

_STAY = process.STEPS[..., : len(Mood)]  # (segment, price, mood, next mood)
_LEAVE = process.STEPS[..., len(Mood)]  # (segment, price, mood)
_RETURN_RATE = process.VISITS_A_DAY / rhythm.DAY_S  # (segment, memory), per second of the rhythm's time


class Oracle:
    """An `Observer` that knows the process but only observes the events."""

    def __init__(self, users: int, start_ms: int, *, reads_words: bool = True) -> None:
        """Without `reads_words` it ignores the words: the difference is what they are worth."""
        self._reads_words = reads_words
        self._beliefs = np.zeros((users, len(Segment), len(Mood)))  # all zero: nothing seen yet
        self._prices = np.zeros(users, np.int64)
        self._last_s = np.full(users, start_ms / 1000 - process.ABSENCE_S)
        self._tables = np.moveaxis(purchase_tables(), -1, 0).copy()  # (step of the week, horizon, segment, price, mood)

    def observe(self, observed: Observations) -> Floats:
        """Return the true propensities `(events, horizons)`: session, 1 h, 24 h."""
        time_s, first = observed.time_ms / 1000, observed.is_first_of_visit == 1
        # Forward algorithm: predict the moods, weight by the likelihood of the observation, normalise.
        beliefs = np.empty((len(observed), len(Segment), len(Mood)))
        beliefs[~first] = self._stayed(observed.shoppers[~first], time_s[~first])
        beliefs[first] = self._returned(observed.shoppers[first], time_s[first])
        beliefs *= self._likelihood(observed)
        beliefs /= beliefs.sum(axis=(1, 2), keepdims=True)
        self._beliefs[observed.shoppers] = beliefs
        self._prices[observed.shoppers] = observed.prices
        self._last_s[observed.shoppers] = time_s
        return np.asarray(np.einsum("nsm,nhsm->nh", beliefs, self._future(time_s, observed.prices)))

    def _stayed(self, shoppers: Integers, time_s: Floats) -> Floats:
        gaps_s = (time_s - self._last_s[shoppers])[:, None, None]
        stayed = gap_density(gaps_s, process.GAP_MEDIAN_S, process.GAP_SHAPE[:, None])
        for price in Price:
            rows = np.flatnonzero(self._prices[shoppers] == price)
            beliefs = self._beliefs[shoppers[rows]].transpose(1, 0, 2)  # (segment, n, mood)
            stayed[rows] *= (beliefs @ _STAY[:, price]).transpose(1, 0, 2)
        return stayed

    def _returned(self, shoppers: Integers, time_s: Floats) -> Floats:
        """Return the weight of returning now, `(n, segment, mood)`; the rhythm's rate, a common factor, is left out."""
        leaves = self._beliefs[shoppers] * _LEAVE[:, self._prices[shoppers]].transpose(1, 0, 2)
        free_s = (rhythm.elapsed(time_s) - rhythm.elapsed(self._last_s[shoppers] + process.ABSENCE_S))[:, None, None]
        comes_now = (leaves @ process.MEMORY_AFTER) * _RETURN_RATE * np.exp(-_RETURN_RATE * free_s)
        never_seen = self._never_seen(shoppers)
        comes_now[never_seen] = _first_visit(free_s[never_seen])
        return np.asarray(np.einsum("nsw,swm->nsm", comes_now, process.FIRST_MOOD))

    def _never_seen(self, shoppers: Integers) -> npt.NDArray[np.bool_]:
        return np.asarray(self._beliefs[shoppers].sum(axis=(1, 2)) == 0)

    def _likelihood(self, observed: Observations) -> Floats:
        """Return P(what the event shows | segment and mood) `(n, segment, mood)`, up to a factor the same for all."""
        shows = process.SHOWS[:, :, observed.symbols].transpose(2, 0, 1).copy()
        shows[self._never_seen(observed.shoppers)] = 1.0  # the first event is a view, whatever the mood
        by_mood = self._likelihood_of_prices(observed) * likelihood_of_stars(observed.stars)
        if self._reads_words:
            by_mood *= likelihood_of_words(observed.symbols, observed.words)
        return np.asarray(shows * by_mood[:, None, :])

    def _likelihood_of_prices(self, observed: Observations) -> Floats:
        """Return P(price of a newly viewed item | mood) `(n, mood)`; with something in the cart it does not change."""
        likelihood = np.ones((len(observed), len(Mood)))
        new = np.flatnonzero(observed.symbols == Symbol.VIEW_NEW)
        likelihood[new] = process.PRICE_SHARES[observed.prices[new], None]
        likelihood[new, Mood.UNDECIDED] = observed.prices[new] == self._prices[observed.shoppers[new]]
        return likelihood

    def _future(self, time_s: Floats, prices: Integers) -> Floats:
        """Return the tables at times of the week `(n, horizon, segment, mood)`, interpolated."""
        step = rhythm.since_monday(time_s) / TABLE_STEP_S
        lower: Integers = step.astype(np.int64)
        share = (step - lower)[:, None, None, None]
        steps = len(self._tables)
        before = self._tables[lower % steps, :, :, prices]
        after = self._tables[(lower + 1) % steps, :, :, prices]
        return np.asarray(before * (1 - share) + after * share)


def _first_visit(since_start_s: Floats) -> Floats:
    """Return the weight of a first visit now, by an old customer or a newcomer `(n, segment, memory)`."""
    newcomers_s = process.NEWCOMER_DAYS * rhythm.DAY_S
    rate = _RETURN_RATE[:, Memory.COLD]
    old = (1 - process.NEWCOMER_SHARE) * rate * np.exp(-rate * since_start_s[:, 0])  # (n, segment)
    new = process.NEWCOMER_SHARE / newcomers_s * (since_start_s[:, 0] < newcomers_s)
    comes_now = np.zeros((len(since_start_s), len(Segment), len(Memory)))
    comes_now[:, :, Memory.COLD] = process.SEGMENT_SHARES * (old + new)
    return comes_now
