from collections import defaultdict

import numpy as np
import pytest

from model.simulator import vocabulary
from model.simulator.process import Mood, Symbol
from model.simulator.wording import (
    MOST_PLACES,
    PLACES,
    Phrasebook,
    draw_words,
    likelihood_of_stars,
    likelihood_of_words,
)
from model.text import TOKENS, tokens

LANGUAGES = range(len(vocabulary.LANGUAGES))
WRITERS = {
    Symbol.SEARCH: [Mood.IDLE, Mood.INTERESTED, Mood.COMPARING, Mood.UNDECIDED],
    Symbol.REVIEW: [Mood.HAPPY, Mood.UNHAPPY],
}


def test_searches_and_reviews_carry_words_and_reviews_stars(distinct):
    assert all(bool(event.text) == (event.type in {"search", "review"}) for event in distinct)
    assert {event.rating for event in distinct if event.type == "review"} == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert {event.rating for event in distinct if event.type != "review"} == {None}


def test_a_shopper_writes_in_one_language_and_all_languages_are_written(distinct):
    languages = defaultdict(set)
    for event in distinct:
        languages[event.user_id].add(event.context["language"])
    assert all(len(one) == 1 for one in languages.values())
    assert set().union(*languages.values()) == set(vocabulary.LANGUAGES)


def test_the_model_keeps_every_word_that_is_written(distinct):
    assert max(len(tokens(event.text)) for event in distinct if event.text) <= TOKENS
    assert all(len(event.text) <= 200 for event in distinct if event.text)


@pytest.mark.parametrize("symbol", PLACES)
def test_no_token_means_two_things(symbol):
    meanings = defaultdict(set)
    for language in LANGUAGES:
        translated = vocabulary.translations(language)
        for meaning in {word for place in PLACES[symbol] for word in place.words} - {""}:
            meanings[tokens(translated[meaning])[0]].add(meaning)
        for category, name in enumerate(vocabulary.category_names(language)):
            for token in tokens(name):
                meanings[token].add(("category", category))
    assert not {token: found for token, found in meanings.items() if len({str(one) for one in found}) > 1}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_word_is_one_token_and_no_word_is_missing(language):
    translated = vocabulary.translations(language)
    assert all(len(tokens(word)) == 1 for word in translated.values() if word)
    assert len(set(translated.values())) == len(translated)
    assert len(set(vocabulary.category_names(language))) == len(vocabulary.category_names(0))


def test_every_mood_that_writes_has_a_distribution_for_each_place():
    for symbol, places in PLACES.items():
        for place in places:
            assert place.shares.shape == (len(Mood), len(place.words))
            assert place.shares[WRITERS[symbol]].sum(axis=1) == pytest.approx(1)


def test_words_come_as_often_as_their_likelihood_says():
    count = 20_000
    symbols, moods = np.full(count, Symbol.REVIEW), np.full(count, Mood.UNHAPPY)
    words = draw_words(symbols, moods, np.random.default_rng(1))
    texts, where, found = np.unique(words, axis=0, return_index=True, return_counts=True)
    expected = likelihood_of_words(symbols, words)[where, Mood.UNHAPPY]
    assert len(texts) > 50
    assert found / count == pytest.approx(expected, abs=0.006)


def test_what_carries_no_words_says_nothing_of_the_mood():
    symbols = np.array([Symbol.VIEW_NEW, Symbol.PURCHASE])
    assert (likelihood_of_words(symbols, np.zeros((2, MOST_PLACES), np.int64)) == 1).all()
    assert (likelihood_of_stars(np.zeros(2, np.int64)) == 1).all()


def test_a_phrasebook_puts_words_into_its_language():
    english, german = Phrasebook(0), Phrasebook(vocabulary.LANGUAGES.index("de"))
    assert english.text(Symbol.SEARCH, 0, [6, 7, 0]) == "shoes buy today"
    assert german.text(Symbol.SEARCH, 0, [6, 0, 0]) == "Schuhe kaufen"
    assert german.text(Symbol.REVIEW, 0, [0, 1, 4]) == "großartig Qualität kaputt"
    assert german.text(Symbol.CART, 0, [0, 0, 0]) is None
