"""Events of a made-up shop as bytes: about 200 each, the same in every run; any number of shoppers, one of them hot.

Shoppers are drawn evenly, which is harder than a shop: hardly any event finds its shopper's state touched a moment ago.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

Record: TypeAlias = tuple[bytes, bytes]
"""Key and value."""
BLOCK: Final = 50_000
START_MS: Final = 1_767_571_200_000
TYPES: Final = ("view", "search", "favorite", "cart", "remove_from_cart", "checkout", "purchase", "review")
TYPE_SHARES: Final = (0.62, 0.17, 0.05, 0.07, 0.02, 0.03, 0.03, 0.01)
CHANNELS: Final = ("direct", "search", "mail", "social")
DEVICES: Final = ("phone", "desktop", "tablet")
ITEMS, CATEGORIES = 50_000, 200
MS_AN_EVENT: Final = 10


@dataclass(frozen=True)
class Shop:
    """Which events there are."""

    events: int
    shoppers: int
    hot_share: float = 0.0
    """Share of the events that are one shopper's."""
    in_turn: bool = False
    """Every shopper once before anyone comes back, instead of drawn at random."""
    items: int = ITEMS
    first: int = 0
    """How many events their shoppers have sent before: numbers, and with them times, go on from there."""

    def records(self) -> Iterator[Record]:
        """Yield them in order; ids are distinct."""
        end = self.first + self.events
        for first in range(self.first, end, BLOCK):
            yield from self._block(first, min(BLOCK, end - first))

    def _block(self, first: int, count: int) -> Iterator[Record]:
        draw = np.random.default_rng(first)
        who = draw.integers(0, self.shoppers, count)
        if self.in_turn:
            who = np.arange(first, first + count) % self.shoppers
        who[draw.random(count) < self.hot_share] = 0
        kinds = draw.choice(len(TYPES), count, p=TYPE_SHARES)
        items, prices = draw.integers(0, self.items, count), draw.integers(500, 30_000, count) / 100
        channels = draw.integers(0, len(CHANNELS), count)
        drawn = zip(who.tolist(), kinds.tolist(), items.tolist(), prices.tolist(), channels.tolist(), strict=True)
        for number, (shopper, kind, item, price, channel) in enumerate(drawn, first):
            user = f"shopper-{shopper:08d}"
            yield (
                user.encode(),
                (
                    f'{{"event_id":"{number:011d}","user_id":"{user}","type":"{TYPES[kind]}",'
                    f'"ts":{START_MS + number * MS_AN_EVENT},"item_id":"item-{item:06d}",'
                    f'"category":"category-{item % CATEGORIES:03d}","price":{price},'
                    f'"context":{{"channel":"{CHANNELS[channel]}","device":"{DEVICES[item % len(DEVICES)]}"}}}}'
                ).encode(),
            )
