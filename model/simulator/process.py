"""How simulated shoppers behave: the numbers of the generative process (docs/simulator.md has the formulas).

A shopper belongs to a segment for good, and is either absent or on a visit. On a visit a hidden mood moves along a
Markov chain, one step an event; each arrival in a mood takes time and shows as a symbol. Leaving leaves a memory that
decides how soon the shopper comes back and in which mood. Everything is finite or has a closed form, so that the true
propensities can be computed (`model.simulator.truth`).
"""

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Segment(IntEnum):
    """What kind of shopper somebody is."""

    WINDOW = 0  # looks, seldom buys
    REGULAR = 1
    LOYAL = 2
    BOT = 3


class Mood(IntEnum):
    """The hidden state on a visit. CARTED, CHECKOUT and BOUGHT show as their own event type, the others do not."""

    IDLE = 0
    INTERESTED = 1
    COMPARING = 2
    CARTED = 3
    UNDECIDED = 4  # something lies in the cart
    CHECKOUT = 5
    BOUGHT = 6
    HAPPY = 7  # after a purchase
    UNHAPPY = 8


class Memory(IntEnum):
    """What remains of a visit."""

    COLD = 0
    WARM = 1


class Symbol(IntEnum):
    """What can be seen of an event."""

    VIEW_NEW = 0
    VIEW_AGAIN = 1  # the item of the shopper's last event
    SEARCH_IDLE = 2
    SEARCH_EAGER = 3  # words of somebody who wants to buy
    FAVORITE = 4
    CART = 5
    REMOVE = 6
    CHECKOUT = 7
    PURCHASE = 8
    REVIEW_GOOD = 9
    REVIEW_BAD = 10
    REFUND = 11
    OTHER = 12


SEGMENT_SHARES: Final = np.array([0.42, 0.44, 0.13, 0.01])
VISITS_A_DAY: Final = np.array([[0.35, 0.8], [0.55, 1.5], [1.0, 2.5], [1.0, 1.0]])
"""`(segment, memory)`, averaged over the week."""

NEWCOMER_SHARE: Final = 0.3
NEWCOMER_DAYS: Final = 28.0
"""Newcomers pay their first visit at a time drawn from the first so many days (of the rhythm's time); the others were
customers before the simulation began."""

LONGEST_GAP_S: Final = 25 * 60.0
"""Within a visit; shorter than the 30 minutes that end a session, so a visit is a session."""
SHORTEST_GAP_S: Final = 1.0
ABSENCE_S: Final = 35 * 60.0
"""Nobody comes back sooner; longer than the 30 minutes that end a session."""

_GAP_MEDIAN_S: Final = np.array([22.0, 34.0, 48.0, 40.0, 45.0, 45.0, 60.0, 60.0, 60.0])
_BOT_GAP_MEDIAN_S: Final = 3.0
_GAP_SHAPE: Final = 1.9
_BOT_GAP_SHAPE: Final = 4.0

_STEPS: Final = np.array(
    # IDLE INTERESTED COMPARING CARTED UNDECIDED CHECKOUT BOUGHT HAPPY UNHAPPY, leaving
    [
        [0.76, 0.06, 0.01, 0.005, 0.00, 0.00, 0.00, 0.00, 0.00, 0.165],
        [0.11, 0.55, 0.16, 0.06, 0.00, 0.00, 0.00, 0.00, 0.00, 0.12],
        [0.03, 0.13, 0.52, 0.18, 0.00, 0.00, 0.00, 0.00, 0.00, 0.14],
        [0.00, 0.04, 0.08, 0.08, 0.38, 0.27, 0.00, 0.00, 0.00, 0.15],
        [0.00, 0.05, 0.10, 0.08, 0.46, 0.16, 0.00, 0.00, 0.00, 0.15],
        [0.00, 0.00, 0.00, 0.00, 0.13, 0.10, 0.63, 0.00, 0.00, 0.14],
        [0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.36, 0.09, 0.50],
        [0.00, 0.10, 0.00, 0.00, 0.00, 0.00, 0.00, 0.50, 0.00, 0.40],
        [0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.50, 0.50],
    ]
)
"""Of a regular shopper. The others are more or less eager to get nearer to a purchase."""
_EAGERNESS: Final = {Segment.WINDOW: 0.4, Segment.REGULAR: 1.0, Segment.LOYAL: 1.5}

_FIRST_MOOD: Final = np.array(
    [
        [0.82, 0.14, 0.04, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.22, 0.24, 0.30, 0.00, 0.24, 0.00, 0.00, 0.00, 0.00],
    ]
)
"""`(memory, mood)` of a visit's first event."""
WARM_AFTER: Final = np.array([0.05, 0.30, 0.60, 0.75, 0.75, 0.80, 0.10, 0.30, 0.02])
"""Probability of a warm memory when a visit ends in the mood."""

_SHOWS: Final[dict[Mood, dict[Symbol, float]]] = {
    Mood.IDLE: {
        Symbol.VIEW_NEW: 0.84,
        Symbol.VIEW_AGAIN: 0.03,
        Symbol.SEARCH_IDLE: 0.11,
        Symbol.SEARCH_EAGER: 0.005,
        Symbol.FAVORITE: 0.005,
        Symbol.OTHER: 0.01,
    },
    Mood.INTERESTED: {
        Symbol.VIEW_NEW: 0.58,
        Symbol.VIEW_AGAIN: 0.13,
        Symbol.SEARCH_IDLE: 0.05,
        Symbol.SEARCH_EAGER: 0.16,
        Symbol.FAVORITE: 0.08,
    },
    Mood.COMPARING: {
        Symbol.VIEW_NEW: 0.20,
        Symbol.VIEW_AGAIN: 0.58,
        Symbol.SEARCH_EAGER: 0.12,
        Symbol.FAVORITE: 0.10,
    },
    Mood.CARTED: {Symbol.CART: 1.0},
    Mood.UNDECIDED: {
        Symbol.VIEW_NEW: 0.35,
        Symbol.VIEW_AGAIN: 0.33,
        Symbol.SEARCH_EAGER: 0.07,
        Symbol.FAVORITE: 0.05,
        Symbol.CART: 0.05,
        Symbol.REMOVE: 0.15,
    },
    Mood.CHECKOUT: {Symbol.CHECKOUT: 1.0},
    Mood.BOUGHT: {Symbol.PURCHASE: 1.0},
    Mood.HAPPY: {Symbol.VIEW_NEW: 0.55, Symbol.VIEW_AGAIN: 0.10, Symbol.REVIEW_GOOD: 0.30, Symbol.OTHER: 0.05},
    Mood.UNHAPPY: {Symbol.VIEW_NEW: 0.35, Symbol.VIEW_AGAIN: 0.20, Symbol.REVIEW_BAD: 0.30, Symbol.REFUND: 0.15},
}


def _eager(steps: Floats, eagerness: float) -> Floats:
    """Multiply the odds of every step nearer to a purchase, and keep each row a distribution."""
    moods = np.arange(len(Mood))
    nearer = (moods[None, :] > moods[:, None]) & (moods[None, :] <= Mood.BOUGHT)
    weighted = steps.copy()
    weighted[:, :-1] = np.where(nearer, steps[:, :-1] * eagerness, steps[:, :-1])
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def _bot_steps() -> Floats:
    steps = np.zeros_like(_STEPS)
    steps[:, Mood.IDLE] = 0.97
    steps[:, -1] = 0.03
    return steps


STEPS: Final[Floats] = np.stack([*(_eager(_STEPS, eagerness) for eagerness in _EAGERNESS.values()), _bot_steps()])
"""`(segment, mood, next mood or leaving)`"""

FIRST_MOOD: Final[Floats] = np.stack([_FIRST_MOOD] * 3 + [np.eye(len(Mood))[[Mood.IDLE, Mood.IDLE]]])
"""`(segment, memory, mood)`"""


def _shows() -> Floats:
    table = np.zeros((len(Segment), len(Mood), len(Symbol)))
    for mood, shares in _SHOWS.items():
        for symbol, share in shares.items():
            table[:, mood, symbol] = share
    table[Segment.BOT] = 0.0
    table[Segment.BOT, :, [Symbol.VIEW_NEW, Symbol.SEARCH_IDLE]] = np.array([[0.97], [0.03]])
    return table


SHOWS: Final[Floats] = _shows()
"""`(segment, mood, symbol)`"""

GAP_MEDIAN_S: Final[Floats] = np.stack([_GAP_MEDIAN_S] * 3 + [np.full(len(Mood), _BOT_GAP_MEDIAN_S)])
"""`(segment, mood)`: how long it takes to arrive in a mood."""
GAP_SHAPE: Final[Floats] = np.array([_GAP_SHAPE] * 3 + [_BOT_GAP_SHAPE])
"""`(segment,)`"""


def gap_cdf(seconds: Floats, median_s: Floats, shape: Floats) -> Floats:
    """Return the distribution function of gaps: log-logistic, cut to [SHORTEST_GAP_S, LONGEST_GAP_S]."""
    low, high = (_log_logistic_cdf(np.float64(end), median_s, shape) for end in (SHORTEST_GAP_S, LONGEST_GAP_S))
    return np.asarray(np.clip((_log_logistic_cdf(seconds, median_s, shape) - low) / (high - low), 0.0, 1.0))


def draw_gaps_s(uniform: Floats, median_s: Floats, shape: Floats) -> Floats:
    """Turn uniform numbers into gaps (the inverse of `gap_cdf`)."""
    low, high = (_log_logistic_cdf(np.float64(end), median_s, shape) for end in (SHORTEST_GAP_S, LONGEST_GAP_S))
    share = low + uniform * (high - low)
    return np.asarray(median_s * (share / (1.0 - share)) ** (1.0 / shape))


def gap_density(seconds: Floats, median_s: Floats, shape: Floats) -> Floats:
    """Return the density of `gap_cdf`."""
    low, high = (_log_logistic_cdf(np.float64(end), median_s, shape) for end in (SHORTEST_GAP_S, LONGEST_GAP_S))
    power = (seconds / median_s) ** shape
    return np.asarray(shape * power / (seconds * (1.0 + power) ** 2) / (high - low))


def _log_logistic_cdf(seconds: Floats | np.float64, median_s: Floats, shape: Floats) -> Floats:
    power = (seconds / median_s) ** shape
    return np.asarray(power / (1.0 + power))
