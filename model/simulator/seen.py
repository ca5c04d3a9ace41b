"""What can be seen of the simulated shoppers, and who watches them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.simulator.process import Floats, Integers


@dataclass(frozen=True, slots=True)
class Seen:
    """Events as columns, one element an event, at most one event of a shopper; nothing here is hidden from anybody."""

    shoppers: Integers
    time_ms: Integers
    symbols: Integers
    prices: Integers
    """`Price` of the item that the shopper looked at last, this event's included."""
    words: Integers
    """`(events, MOST_PLACES)` of `model.simulator.wording`."""
    stars: Integers
    is_first_of_visit: Integers

    def __len__(self) -> int:
        return len(self.shoppers)


class Observer(Protocol):
    """Watches every event of every shopper in order and says what it means for the future."""

    def observe(self, seen: Seen) -> Floats:
        """Return `(events, horizons)`."""
        ...


class Blind:
    """The observer that computes nothing."""

    def observe(self, seen: Seen) -> Floats:
        return np.empty((len(seen), 0))
