"""Token codes of the words of searches and reviews, in any language.

A code is a hash: there is no vocabulary to store or to leak from the future, and new words have codes too.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

TOKENS: Final = 4
"""Maximum number of tokens per event: a search rarely has more, and a state holds those of several events."""

_STAR: Final = "\u2605"  # no letter, so no word that somebody writes is taken for a rating
MAX_CHARACTERS: Final = 2000
"""The model reads so much of a text, and a score repeats so much of it."""
_WORDS_REMEMBERED: Final = 65_536
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Kana, Han."""
_MARKS: Final = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0dff"
"""Vowel signs and accents that are part of a word, though not letters."""
_WORD: Final = re.compile(f"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\\W_])(?:(?![{_UNSPACED}])[^\\W_]|[{_MARKS}])*")
_ASCII_WORD: Final = re.compile("[a-z0-9]+")
"""The same of texts that are ASCII and casefolded, five times as fast."""
_STARTS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")


def tokens(text: str) -> list[str]:
    """Return the distinct words of a text in order, in NFKC and casefolded; bigrams where no spaces are written."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()
    if folded.isascii():
        return list(dict.fromkeys(_ASCII_WORD.findall(folded)))
    words = list[str]()
    for word in _WORD.findall(folded):
        if len(word) > 1 and _STARTS_UNSPACED.match(word):
            words.extend(word[start : start + 2] for start in range(len(word) - 1))
        else:
            words.append(word)
    return list(dict.fromkeys(words))


def token_codes(texts: Sequence[str | None], ratings: Sequence[float | None] | None = None) -> npt.NDArray[np.uint16]:
    """Return `(texts, TOKENS)` codes 1..65535, 0 for none; of a longer text, words spread evenly over it.

    A rating counts as the first word.
    """
    codes = np.zeros((len(texts), TOKENS), np.uint16)
    for row, (text, rating) in enumerate(zip(texts, repeat(None) if ratings is None else ratings, strict=False)):
        if text or rating is not None:
            stars = [] if rating is None else [f"{_STAR}{round(rating)}"]
            kept = [*stars, *spread(tokens(text or ""), TOKENS - len(stars))]
            codes[row, : len(kept)] = [token_code(token) for token in kept]
    return codes


def spread(words: list[str], places: int) -> list[str]:
    """Return the words if there are places for all, else some from all over them."""
    if len(words) <= places:
        return words
    return [words[len(words) * place // places] for place in range(places)]


@lru_cache(_WORDS_REMEMBERED)
def token_code(token: str) -> int:
    """Return the code of a token, 1..65535; the same in every process."""
    return xxhash.xxh3_64_intdigest(token.encode()) % 65535 + 1
