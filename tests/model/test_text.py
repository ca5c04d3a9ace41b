import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import TOKENS, token_codes, tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red Shoes, size 42!", ["red", "shoes", "size", "42"]),
        ("red RED \uff32\uff25\uff24", ["red"]),
        ("Größe GRÖSSE", ["grösse"]),
        ("café cafe\u0301", ["café"]),
        ("赤い靴", ["赤い", "い靴"]),
        ("红 鞋子", ["红", "鞋子"]),
        ("iPhone15ケース", ["iphone15", "ケー", "ース"]),
        ("빨간 신발", ["빨간", "신발"]),
        ("कपड़े लाल", ["कपड़े", "लाल"]),
        ("حذاء أحمر", ["حذاء", "أحمر"]),
        ("รองเท้า", ["รอ", "อง", "งเ", "เท", "ท้", "้า"]),
        ("snake_case-and.dots", ["snake", "case", "and", "dots"]),
        ("!!! … 👟", []),
        ("", []),
    ],
)
def test_words_of_any_language_are_folded_to_one_spelling(text, words):
    assert tokens(text) == words


def test_a_text_without_words_and_no_text_have_no_codes():
    assert token_codes([None, "", "!?"]).tolist() == [[0] * TOKENS] * 3


def test_codes_are_known_because_states_in_a_changelog_hold_them():
    """Another hash function needs another layout."""
    assert token_codes(["red shoes"])[0].tolist()[:2] == [9927, 42997]


def test_a_word_has_the_same_code_wherever_it_stands():
    first, second = token_codes(["red shoes", "shoes that are RED"])
    assert set(first[first > 0]) <= set(second)


def test_a_long_text_is_represented_by_words_from_all_over_it():
    words = [f"w{number}" for number in range(40)]
    (codes,) = token_codes([" ".join(words)])
    singles = token_codes(words)[:, 0].tolist()
    places = [singles.index(code) for code in codes.tolist()]
    assert places == sorted(places)
    assert places[0] < 10
    assert places[-1] >= 30


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_has_the_words_that_any_text_has(text):
    longer = [word for word in tokens(f"{text} \u0436") if word != "\u0436"]
    assert tokens(text) == longer


@given(st.lists(st.none() | st.text(), max_size=5))
def test_whatever_is_written_has_codes_of_its_own_only(texts):
    codes = token_codes(texts)
    assert codes.shape == (len(texts), TOKENS)
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(codes[row], token_codes([text])[0])
        assert (codes[row] > 0).sum() == min(len(tokens(text or "")), TOKENS)


def test_a_rating_is_a_word_that_nobody_writes():
    rated, unrated, written = token_codes(["a b c d e", "a b c d", "5"], [5.0, None, None])
    assert rated[0] == token_codes([None], [4.9])[0, 0] != 0
    assert rated[0] not in {*unrated, *written}
    assert (rated > 0).all()
    assert (token_codes([None, None], [None, 0.0])[:, 0] > 0).tolist() == [False, True]
