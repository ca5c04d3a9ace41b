"""What the items of the simulated shop look and read like, and how that shows their style.

An item's style is a hidden vector, half its brand's and half its own. Tastes are for styles (`model.simulator.tastes`);
title, description and picture vector are noisy views of it, each as telling as its constant here says.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.arrays import Floats, Integers
from model.simulator.catalogue import Catalogue
from model.simulator.distributions import draw_indices

DIMENSIONS: Final = 12
VECTOR_NUMBERS: Final = 32
PICTURE_NOISE: Final = 0.35
"""Deviation of a picture vector's noise, that of what it shows is 1."""
WORDS_FOLLOW_STYLE: Final = 2.5
"""How much the words follow the style: logits of this deviation."""
BRAND_SHARE: Final = 0.5
"""How much of the variance of styles is between brands."""

BRANDS: Final = (
    *("Alder", "Birkmann", "Corvo", "Dunmore", "Elsner", "Fjordane", "Garnet", "Hollis", "Ibarra", "Juniper"),
    *("Kestrel", "Lumen", "Marlow", "Nordby", "Okapi", "Pellin", "Quarry", "Rivage", "Solveig", "Tamsin"),
    *("Ulmer", "Verano", "Wexford", "Xanten", "Yarrow", "Zephyr", "Ashdown", "Brisa", "Calder", "Drift"),
)
WORDS: Final = (
    *("plain", "ornate", "slim", "wide", "soft", "sturdy", "matt", "glossy", "vintage", "modern", "playful", "formal"),
    *(
        "floral",
        "striped",
        "warm",
        "cool",
        "light",
        "dark",
        "rustic",
        "urban",
        "handmade",
        "technical",
        "quiet",
        "bold",
    ),
    *(
        "natural",
        "metallic",
        "compact",
        "airy",
        "classic",
        "rare",
        "cosy",
        "sharp",
        "round",
        "angular",
        "raw",
        "simple",
    ),
)
"""Words of style; each stands for a direction."""
_WORDS_OF_TITLE: Final = 2
_WORDS_OF_DESCRIPTION: Final = 6
_SEED: Final = 20260106


@dataclass(frozen=True, slots=True)
class Styles:
    """The styles of a catalogue's items, and what shows of them."""

    styles: Floats
    """`(items, DIMENSIONS)`, of length 1 on average."""
    brands: Integers
    """Positions in BRANDS `(items,)`."""
    words: Integers
    """Positions in WORDS of the title's words, then of the description's `(items, 8)`."""
    vectors: Floats
    """`(items, VECTOR_NUMBERS)`"""

    @classmethod
    def drawn(cls, catalogue: Catalogue) -> Self:
        """Draw with a fixed seed: the shop is the same for all simulations."""
        random, items = np.random.default_rng(_SEED), len(catalogue.item_ids)

        def normal(rows: int, columns: int = DIMENSIONS) -> Floats:
            return np.asarray(random.normal(size=(rows, columns)))

        brands = random.integers(0, len(BRANDS), items)
        parts = np.sqrt(BRAND_SHARE) * normal(len(BRANDS))[brands] + np.sqrt(1 - BRAND_SHARE) * normal(items)
        # Words: softmax of the style along each word's direction.
        logits = WORDS_FOLLOW_STYLE * parts @ normal(len(WORDS)).T / np.sqrt(DIMENSIONS)  # (items, words)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        drawn = [draw_indices(shares, random) for _ in range(_WORDS_OF_TITLE + _WORDS_OF_DESCRIPTION)]
        # Pictures: style and category, turned into other numbers, and noise.
        shown = np.concatenate(
            (parts, normal(len(catalogue.category_names))[catalogue.categories_of(np.arange(items))]), axis=1
        )
        vectors = shown @ normal(shown.shape[1], VECTOR_NUMBERS) / np.sqrt(shown.shape[1])
        vectors += PICTURE_NOISE * normal(items, VECTOR_NUMBERS)
        return cls(parts / np.sqrt(DIMENSIONS), brands, np.stack(drawn, axis=1), vectors.round(4))

    def brand(self, item: int) -> str:
        """Return the name of an item's brand."""
        return BRANDS[int(self.brands[item])]

    def title(self, item: int, category: str) -> str:
        """Return an item's title: brand, words of style, category."""
        return " ".join((self.brand(item), *self._said(item, slice(_WORDS_OF_TITLE)), category))

    def description(self, item: int, category: str) -> str:
        """Return an item's description."""
        said = self._said(item, slice(_WORDS_OF_TITLE, None))
        return f"{category} by {self.brand(item)}: {', '.join(dict.fromkeys(said))}"

    def _said(self, item: int, part: slice) -> list[str]:
        return [WORDS[word] for word in self.words[item, part]]
