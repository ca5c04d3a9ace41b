"""What items' vectors are made from, as arrays: the same in training and in the worker."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import chain
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.batch import id_code
from model.items.codes import item_codes
from model.items.item import LEVELS, Item, levels_of
from model.text import spread, token_code, tokens

PIECES: Final = 24
"""Words and character trigrams per item."""
_WORDS: Final = 16
"""How many of them are words at most: the rest are left to trigrams, which words of the same stem share."""
_DESCRIPTION_CHARACTERS: Final = 400
"""What a description begins with says what the item is, and more words than it has have no place."""
_WORDS_REMEMBERED: Final = 65_536
_INSIDE_A_WORD: Final = "\u2027"  # no letter, so no trigram is taken for a word of three letters


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """Items as columns; every column has one entry per item. Codes are hashes 1..65535, 0 for none."""

    codes: npt.NDArray[np.uint32]
    """`model.items.codes.item_code` `(items,)`."""
    levels: npt.NDArray[np.uint16]
    """Codes of the category's path down to each of its first levels `(items, LEVELS)`."""
    categories: npt.NDArray[np.uint16]
    """Codes of the category as it is written `(items,)`: an event with the same one has the same code."""
    brands: npt.NDArray[np.uint16]
    """Codes of the brands, however they are capitalised `(items,)`."""
    log_prices: npt.NDArray[np.float32]
    """log1p of the price, NaN for none `(items,)`."""
    pieces: npt.NDArray[np.uint16]
    """Codes of words, with those of events' texts in common, then of trigrams `(items, PIECES)`."""
    vectors: npt.NDArray[np.float16]
    """What the shop made, NaN where it made none `(items, dimension)`; the dimension may be 0."""
    added_ms: npt.NDArray[np.int64]
    """Since when the shop has them, 0 where it does not say `(items,)`."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return some of the items, in the order of `rows`."""
        return type(self)(*(getattr(self, column.name)[rows] for column in fields(self)))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Join the columns of several batches; one without any vectors gets NaN in the dimension of the others."""
        dimension = max(part.dimension for part in parts)
        vectors = [part.vectors if part.dimension else _no_vectors(len(part), dimension) for part in parts]
        names = [column.name for column in fields(cls) if column.name != "vectors"]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(**columns, vectors=np.concatenate(vectors))


def columns_of(items: Sequence[Item], dimension: int | None = None) -> ItemColumns:
    """Turn items into columns.

    `dimension` is the length that all vectors have; if it is not given, that of the first one. Raises InvalidItem for
    one of another length.
    """
    if dimension is None:
        dimension = next((len(item.vector) for item in items if item.vector is not None), 0)
    levels, pieces = np.zeros((len(items), LEVELS), np.uint16), np.zeros((len(items), PIECES), np.uint16)
    vectors = _no_vectors(len(items), dimension)
    for row, item in enumerate(items):
        if item.category:
            paths = levels_of(item.category)
            levels[row, : len(paths)] = list(map(token_code, paths))
        codes = _pieces(item)
        pieces[row, : len(codes)] = codes
        if item.vector is not None and dimension:
            vectors[row] = item.with_dimension(dimension).vector
    return ItemColumns(
        codes=item_codes([item.item_id for item in items]),
        levels=levels,
        categories=np.array([id_code(item.category) for item in items], np.uint16),
        brands=np.array([brand_code(item.brand) for item in items], np.uint16),
        log_prices=np.log1p(np.array([item.price for item in items], np.float32)),  # of None, numpy makes NaN
        pieces=pieces,
        vectors=vectors,
        added_ms=np.array([item.added_at or 0 for item in items], np.int64),
    )


def _no_vectors(items: int, dimension: int) -> npt.NDArray[np.float16]:
    return np.full((items, dimension), np.nan, np.float16)


def brand_code(brand: str | None) -> int:
    """Return the code of a brand however it is written, 0 for none."""
    return id_code(unicodedata.normalize("NFKC", brand).casefold().strip()) if brand else 0


def _pieces(item: Item) -> list[int]:
    """Return the codes of the title's words and of some of the description's, then of trigrams of the title's."""
    title = tokens(item.title) if item.title else []
    words = spread(title, _WORDS)
    if item.description and len(words) < _WORDS:
        words = [*words, *spread(tokens(item.description[:_DESCRIPTION_CHARACTERS]), _WORDS - len(words))]
    trigrams = spread(list(chain.from_iterable(map(_trigrams, title))), PIECES - len(words))
    return list(map(token_code, dict.fromkeys([*words, *trigrams])))


@lru_cache(_WORDS_REMEMBERED)
def _trigrams(word: str) -> tuple[str, ...]:
    """Return three letters each, the word's ends counting as one; none of a word that is no longer than that."""
    ended = f"{_INSIDE_A_WORD}{word}{_INSIDE_A_WORD}"
    if len(word) < 3:
        return ()
    return tuple(_INSIDE_A_WORD + ended[start : start + 3] for start in range(len(ended) - 2))
