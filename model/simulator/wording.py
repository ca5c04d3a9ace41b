"""The words and stars of shoppers in each mood, and their likelihood: the known effect of words.

A text has places, each filled independently with a word or with nothing, with probabilities that depend on the mood
alone. So the likelihood of a text is a product, and the oracle is exact. The language does not depend on the mood.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from model.arrays import Floats, Integers
from model.simulator import vocabulary
from model.simulator.distributions import draw_indices
from model.simulator.process import Mood, Symbol

# fmt: off
_PURPOSES: Final = {
    #                  "", ideas, trends, review, compare, price,  buy, order, delivery
    Mood.IDLE:       [.25,   .28,    .22,    .10,     .06,   .04,  .02,   .01,      .02],
    Mood.INTERESTED: [.25,   .05,    .04,    .12,     .10,   .17,  .12,   .08,      .07],
    Mood.COMPARING:  [.25,   .01,    .01,    .07,     .08,   .25,  .16,   .10,      .07],
    Mood.UNDECIDED:  [.25,   .01,    .01,    .02,     .02,   .11,  .16,   .14,      .28],
}
_DETAILS: Final = {
    #                  "", gift, colour, photos, used, size, stock, today, coupon
    Mood.IDLE:       [.30,  .13,    .12,    .20,  .17,  .04,   .02,   .01,    .01],
    Mood.INTERESTED: [.30,  .13,    .12,    .04,  .05,  .16,   .10,   .06,    .04],
    Mood.COMPARING:  [.30,  .13,    .12,    .01,  .02,  .21,   .11,   .06,    .04],
    Mood.UNDECIDED:  [.30,  .13,    .12,    .01,  .01,  .06,   .13,   .13,    .11],
}
_OPINIONS: Final = {
    #               great, lovely, fine, poor, awful
    Mood.HAPPY:     [.40,    .30,  .24,  .04,   .02],
    Mood.UNHAPPY:   [.04,    .03,  .28,  .35,   .30],
}
_SUBJECTS: Final = {
    #                 "", quality, size, packaging
    Mood.HAPPY:     [.30,     .30,  .20,       .20],
    Mood.UNHAPPY:   [.30,     .30,  .20,       .20],
}
_OUTCOMES: Final = {
    #                 "", fast, recommend, late, broken
    Mood.HAPPY:     [.30,  .30,       .35,  .03,    .02],
    Mood.UNHAPPY:   [.40,  .10,       .03,  .20,    .27],
}
_RATINGS: Final = {
    #                stars 1,   2,   3,   4,   5
    Mood.HAPPY:         [.04, .06, .20, .35, .35],
    Mood.UNHAPPY:       [.25, .25, .25, .15, .10],
}
# fmt: on


def _by_mood(shares: dict[Mood, list[float]]) -> Floats:
    """Return `(mood, choice)`; 1 everywhere for moods in which nobody writes."""
    table = np.ones((len(Mood), len(next(iter(shares.values())))))
    for mood, row in shares.items():
        table[mood] = row
    return table


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a text: English words, and their probability in each mood."""

    words: tuple[str, ...]
    shares: Floats
    """`(mood, word)`"""


PLACES: Final = {
    Symbol.SEARCH: (
        Place(vocabulary.SEARCH_PURPOSES, _by_mood(_PURPOSES)),
        Place(vocabulary.SEARCH_DETAILS, _by_mood(_DETAILS)),
    ),
    Symbol.REVIEW: (
        Place(vocabulary.REVIEW_OPINIONS, _by_mood(_OPINIONS)),
        Place(vocabulary.REVIEW_SUBJECTS, _by_mood(_SUBJECTS)),
        Place(vocabulary.REVIEW_OUTCOMES, _by_mood(_OUTCOMES)),
    ),
}
"""What is written, by symbol; a search's words follow the name of a category."""
MOST_PLACES: Final = max(len(places) for places in PLACES.values())
RATINGS: Final[Floats] = _by_mood(_RATINGS)
"""`(mood, stars - 1)`"""


def draw_words(symbols: Integers, moods: Integers, random: np.random.Generator) -> Integers:
    """Draw the words of each event: for each place the number of its word `(events, MOST_PLACES)`."""
    words = np.zeros((len(symbols), MOST_PLACES), np.int64)
    for symbol, places in PLACES.items():
        rows = np.flatnonzero(symbols == symbol)
        for number, place in enumerate(places):
            words[rows, number] = draw_indices(place.shares[moods[rows]], random)
    return words


def draw_stars(symbols: Integers, moods: Integers, random: np.random.Generator) -> Integers:
    """Draw the stars of each event `(events,)`, 1 to 5, 0 for none."""
    stars = np.zeros(len(symbols), np.int64)
    rows = np.flatnonzero(symbols == Symbol.REVIEW)
    stars[rows] = 1 + draw_indices(RATINGS[moods[rows]], random)
    return stars


def likelihood_of_words(symbols: Integers, words: Integers) -> Floats:
    """Return P(words | mood) `(events, mood)`; 1 where nothing can be written."""
    likelihood = np.ones((len(symbols), len(Mood)))
    for symbol, places in PLACES.items():
        rows = np.flatnonzero(symbols == symbol)
        for number, place in enumerate(places):
            likelihood[rows] *= place.shares[:, words[rows, number]].T
    return likelihood


def likelihood_of_stars(stars: Integers) -> Floats:
    """Return P(stars | mood) `(events, mood)`; 1 where there are none."""
    return np.where(stars[:, None] > 0, RATINGS[:, stars - 1].T, 1.0)


class Phrasebook:
    """Writes texts in one language."""

    def __init__(self, language: int) -> None:
        translated = vocabulary.translations(language)
        self._names = vocabulary.category_names(language)
        self._words = {
            symbol: [[translated[word] for word in place.words] for place in places]
            for symbol, places in PLACES.items()
        }

    def text(self, symbol: int, category: int, words: list[int]) -> str | None:
        """Return the text of an event; None if its symbol has none."""
        places = self._words.get(symbol)  # type: ignore[call-overload] # an IntEnum's members equal their numbers
        if places is None:
            return None
        written = [place[word] for place, word in zip(places, words, strict=False) if place[word]]
        return " ".join([self._names[category], *written] if symbol == Symbol.SEARCH else written)
