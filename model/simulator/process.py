"""How simulated shoppers behave: the numbers of the generative process (docs/simulator.md has the formulas).

A shopper belongs to a segment for good, and is either absent or on a visit. On a visit a hidden mood moves along a
Markov chain, one step an event; each arrival in a mood takes time and shows as a symbol. The price of what the shopper
looks at decides with the mood what comes next. Leaving leaves a memory that decides how soon the shopper comes back and
in which mood. Everything is finite or has a closed form, so that the true propensities can be computed
(`model.simulator.truth`). What shoppers write is in `model.simulator.wording`.
"""

from enum import IntEnum
from typing import Final

import numpy as np

from model.arrays import Floats


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


class Price(IntEnum):
    """What the item that the shopper looks at costs; anybody can tell from the price (`model.simulator.catalogue`)."""

    ORDINARY = 0
    PREMIUM = 1


class Memory(IntEnum):
    """What remains of a visit."""

    COLD = 0
    WARM = 1  # of something that the shopper may still want
    PLEASED = 2  # by a purchase
    SORE = 3  # disappointed by a purchase


class Symbol(IntEnum):
    """What can be seen of an event, but for its price and its words."""

    VIEW_NEW = 0
    VIEW_AGAIN = 1  # the item that the shopper looked at last
    SEARCH = 2
    FAVORITE = 3
    CART = 4
    REMOVE = 5
    CHECKOUT = 6
    PURCHASE = 7
    REVIEW = 8
    REFUND = 9
    OTHER = 10


SEGMENT_SHARES: Final = np.array([0.42, 0.44, 0.13, 0.01])
VISITS_A_DAY: Final = np.array(
    # COLD, WARM, PLEASED, SORE
    [[0.5, 1.3, 0.7, 0.15], [0.6, 1.6, 0.8, 0.2], [0.8, 2.0, 1.1, 0.25], [1.0, 1.0, 1.0, 1.0]]
)
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

_GAP_MEDIAN_S: Final = np.array([28.0, 32.0, 42.0, 40.0, 45.0, 45.0, 60.0, 60.0, 60.0])
_BOT_GAP_MEDIAN_S: Final = 3.0
_GAP_SHAPE: Final = 1.9
_BOT_GAP_SHAPE: Final = 4.0

_STEPS: Final = np.array(
    # IDLE INTERESTED COMPARING CARTED UNDECIDED CHECKOUT BOUGHT HAPPY UNHAPPY, leaving
    [
        [0.80, 0.03, 0.00, 0.003, 0.00, 0.00, 0.00, 0.00, 0.00, 0.167],
        [0.05, 0.62, 0.15, 0.06, 0.00, 0.00, 0.00, 0.00, 0.00, 0.12],
        [0.02, 0.12, 0.54, 0.18, 0.00, 0.00, 0.00, 0.00, 0.00, 0.14],
        [0.00, 0.04, 0.08, 0.08, 0.38, 0.27, 0.00, 0.00, 0.00, 0.15],
        [0.00, 0.05, 0.10, 0.08, 0.46, 0.16, 0.00, 0.00, 0.00, 0.15],
        [0.00, 0.00, 0.00, 0.00, 0.13, 0.10, 0.63, 0.00, 0.00, 0.14],
        [0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.36, 0.14, 0.45],
        [0.00, 0.10, 0.00, 0.00, 0.00, 0.00, 0.00, 0.50, 0.00, 0.40],
        [0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.50, 0.50],
    ]
)
"""Of a regular shopper. The others are more or less eager to get nearer to a purchase."""
_EAGERNESS: Final = {Segment.WINDOW: 0.6, Segment.REGULAR: 1.0, Segment.LOYAL: 1.4}
_APPEAL: Final = {Price.ORDINARY: 1.25, Price.PREMIUM: 0.55}
"""What a price does to the odds of a step to the cart, the checkout and the purchase."""
_DECISIONS: Final = [Mood.CARTED, Mood.CHECKOUT, Mood.BOUGHT]

PRICE_SHARES: Final = np.array([0.6, 0.4])
"""`(price,)`: what a newly viewed item costs. Who has something in the cart looks only at what costs about the same."""

KEEPS_TO_FOCUS: Final = 0.75
"""The share of newly viewed items that are of the category that the visit is about; the others are of any."""
FAVOURITES: Final = 3
"""Each visit is about one of so many categories that the shopper likes."""

_FIRST_MOOD: Final = np.array(
    # IDLE INTERESTED COMPARING CARTED UNDECIDED CHECKOUT BOUGHT HAPPY UNHAPPY
    [
        [0.76, 0.20, 0.04, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.16, 0.20, 0.26, 0.00, 0.38, 0.00, 0.00, 0.00, 0.00],
        [0.45, 0.22, 0.05, 0.00, 0.00, 0.00, 0.00, 0.28, 0.00],
        [0.66, 0.08, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.26],
    ]
)
"""`(memory, mood)` of a visit's first event."""

MEMORY_AFTER: Final = np.array(
    # COLD, WARM, PLEASED, SORE
    [
        [0.97, 0.03, 0.00, 0.00],
        [0.85, 0.15, 0.00, 0.00],
        [0.65, 0.35, 0.00, 0.00],
        [0.20, 0.80, 0.00, 0.00],
        [0.20, 0.80, 0.00, 0.00],
        [0.15, 0.85, 0.00, 0.00],
        [0.35, 0.05, 0.40, 0.20],
        [0.15, 0.15, 0.70, 0.00],
        [0.10, 0.00, 0.00, 0.90],
    ]
)
"""`(mood, memory)`: what a visit leaves behind that ends in the mood."""

_SHOWS: Final[dict[Mood, dict[Symbol, float]]] = {
    Mood.IDLE: {
        Symbol.VIEW_NEW: 0.68,
        Symbol.VIEW_AGAIN: 0.06,
        Symbol.SEARCH: 0.22,
        Symbol.FAVORITE: 0.02,
        Symbol.OTHER: 0.02,
    },
    Mood.INTERESTED: {
        Symbol.VIEW_NEW: 0.60,
        Symbol.VIEW_AGAIN: 0.10,
        Symbol.SEARCH: 0.25,
        Symbol.FAVORITE: 0.05,
    },
    Mood.COMPARING: {
        Symbol.VIEW_NEW: 0.34,
        Symbol.VIEW_AGAIN: 0.36,
        Symbol.SEARCH: 0.22,
        Symbol.FAVORITE: 0.08,
    },
    Mood.CARTED: {Symbol.CART: 1.0},
    Mood.UNDECIDED: {
        Symbol.VIEW_NEW: 0.34,
        Symbol.VIEW_AGAIN: 0.31,
        Symbol.SEARCH: 0.10,
        Symbol.FAVORITE: 0.05,
        Symbol.CART: 0.05,
        Symbol.REMOVE: 0.15,
    },
    Mood.CHECKOUT: {Symbol.CHECKOUT: 1.0},
    Mood.BOUGHT: {Symbol.PURCHASE: 1.0},
    Mood.HAPPY: {Symbol.VIEW_NEW: 0.45, Symbol.VIEW_AGAIN: 0.10, Symbol.REVIEW: 0.40, Symbol.OTHER: 0.05},
    Mood.UNHAPPY: {Symbol.VIEW_NEW: 0.30, Symbol.VIEW_AGAIN: 0.15, Symbol.REVIEW: 0.40, Symbol.REFUND: 0.15},
}


def _steps_of(eagerness: float, appeal: float) -> Floats:
    """Multiply the odds of every step nearer to a purchase, and keep each row a distribution."""
    moods = np.arange(len(Mood))
    nearer = (moods[None, :] > moods[:, None]) & (moods[None, :] <= Mood.BOUGHT)
    odds = np.where(nearer, eagerness, 1.0)
    odds[:, _DECISIONS] *= appeal
    weighted = _STEPS.copy()
    weighted[:, :-1] *= odds
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def _bot_steps() -> Floats:
    steps = np.zeros_like(_STEPS)
    steps[:, Mood.IDLE] = 0.97
    steps[:, -1] = 0.03
    return steps


def _shows() -> Floats:
    table = np.zeros((len(Segment), len(Mood), len(Symbol)))
    for mood, shares in _SHOWS.items():
        for symbol, share in shares.items():
            table[:, mood, symbol] = share
    table[Segment.BOT] = 0.0
    table[Segment.BOT, :, [Symbol.VIEW_NEW, Symbol.SEARCH]] = np.array([[0.97], [0.03]])
    return table


STEPS: Final[Floats] = np.stack(
    [np.stack([_steps_of(eagerness, appeal) for appeal in _APPEAL.values()]) for eagerness in _EAGERNESS.values()]
    + [np.stack([_bot_steps()] * len(Price))]
)
"""`(segment, price, mood, next mood or leaving)`"""

FIRST_MOOD: Final[Floats] = np.stack([_FIRST_MOOD] * 3 + [np.eye(len(Mood))[[Mood.IDLE] * len(Memory)]])
"""`(segment, memory, mood)`"""

SHOWS: Final[Floats] = _shows()
"""`(segment, mood, symbol)`"""

GAP_MEDIAN_S: Final[Floats] = np.stack([_GAP_MEDIAN_S] * 3 + [np.full(len(Mood), _BOT_GAP_MEDIAN_S)])
"""`(segment, mood)`: how long it takes to arrive in a mood."""
GAP_SHAPE: Final[Floats] = np.array([_GAP_SHAPE] * 3 + [_BOT_GAP_SHAPE])
"""`(segment,)`"""


def price_moves() -> Floats:
    """Return P(price of the item looked at after an event | before it) `(segment, mood of the event, price, price)`."""
    is_new = SHOWS[:, :, Symbol.VIEW_NEW].copy()
    is_new[:, Mood.UNDECIDED] = 0.0
    is_new = is_new[:, :, None, None]
    return np.asarray((1 - is_new) * np.eye(len(Price)) + is_new * PRICE_SHARES)
