"""What the simulated shop sells, and the words its shoppers write."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.simulator.process import Floats, Symbol

ITEMS: Final = 10_000
LANGUAGES: Final = ("en", "de", "es")
LANGUAGE_SHARES: Final = (0.6, 0.2, 0.2)

# fmt: off
_CATEGORIES: Final = (
    "shoes", "boots", "jackets", "dresses", "jeans", "shirts", "bags", "watches", "phones", "laptops", "headphones",
    "cameras", "books", "toys", "games", "puzzles", "lamps", "chairs", "tables", "sofas", "carpets", "curtains",
    "pans", "knives", "kettles", "toasters", "tents", "bicycles", "skates", "skis", "gloves", "hats", "perfume",
    "makeup", "shampoo", "vitamins", "coffee", "tea", "chocolate", "wine",
)
# fmt: on
_POPULARITY: Final = 1.6
"""Exponent: an item's rank within its category is count * uniform ** _POPULARITY."""

_PHRASES: Final[dict[Symbol, tuple[tuple[str, ...], ...]]] = {
    Symbol.SEARCH_IDLE: (
        ("{} ideas", "what are {} made of", "{} trends", "{}"),
        ("{} Ideen", "woraus sind {}", "{} Trends", "{}"),
        ("ideas de {}", "de qué son {}", "tendencias {}", "{}"),
    ),
    Symbol.SEARCH_EAGER: (
        ("buy {} today", "{} in stock", "{} free delivery", "best price {}"),
        ("{} heute kaufen", "{} sofort lieferbar", "{} Versand gratis", "{} bester Preis"),
        ("comprar {} hoy", "{} en stock", "{} envío gratis", "{} mejor precio"),
    ),
    Symbol.REVIEW_GOOD: (
        ("love it, will order again", "great quality, arrived fast", "exactly as described"),
        ("super, bestelle ich wieder", "tolle Qualität, schnell da", "genau wie beschrieben"),
        ("me encanta, volveré a comprar", "gran calidad, llegó rápido", "tal como se describe"),
    ),
    Symbol.REVIEW_BAD: (
        ("broke after a day, never again", "too small and late", "not worth the money"),
        ("nach einem Tag kaputt, nie wieder", "zu klein und zu spät", "sein Geld nicht wert"),
        ("se rompió en un día, nunca más", "pequeño y tarde", "no vale lo que cuesta"),
    ),
}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Items by number, sorted by category."""

    item_ids: list[str]
    category_of: npt.NDArray[np.int64]
    """`(items,)`"""
    category_names: tuple[str, ...]
    first_item: npt.NDArray[np.int64]
    """`(categories + 1,)`: category c has the items first_item[c] to first_item[c + 1] - 1, the most popular first."""
    prices: Floats

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Self:
        """Draw how many items each category has, and what they cost."""
        shares = random.dirichlet(np.full(len(_CATEGORIES), 4.0))
        counts = 1 + random.multinomial(ITEMS - len(_CATEGORIES), shares)
        category_of = np.repeat(np.arange(len(_CATEGORIES)), counts)
        level = random.uniform(np.log(8), np.log(250), len(_CATEGORIES))
        prices: Floats = np.exp(random.normal(level[category_of], 0.5))
        return cls(
            item_ids=[f"item-{number:05d}" for number in range(ITEMS)],
            category_of=category_of,
            category_names=tuple(_CATEGORIES),
            first_item=np.concatenate(([0], np.cumsum(counts))),
            prices=prices.round(2),
        )

    def draw_items(self, categories: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw an item of each category, popular ones more often."""
        first, stop = self.first_item[categories], self.first_item[categories + 1]
        rank = (stop - first) * random.random(len(categories)) ** _POPULARITY
        return first + rank.astype(np.int64)

    def words(self, symbol: Symbol, category: int, language: int, variant: int) -> str | None:
        """Return what a shopper writes with an event, if anything."""
        if symbol not in _PHRASES:
            return None
        phrases = _PHRASES[symbol][language]
        return phrases[variant % len(phrases)].format(self.category_names[category])
