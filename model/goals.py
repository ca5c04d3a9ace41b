"""Which events meet a shop's goals, and what purchases are worth: from events to columns."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from model.events import EVENT_TYPES, OTHER, PURCHASE, Event
from model.shop import Condition, Shop

MetGoals = npt.NDArray[np.uint16]
"""Which goals each event meets `(events,)`: bit i stands for the shop's goal i, of at most `model.shop.MAX_GOALS`."""

_LARGEST_VALUE: Final = 1e12
"""A purchase is worth no more than this, and not less than nothing."""
_OTHER: Final = EVENT_TYPES[OTHER]


class GoalReader:
    """Tells of events which of a shop's goals they meet, and the values of purchases."""

    def __init__(self, shop: Shop) -> None:
        behaves_like = dict(zip(shop.event_types, shop.behaves_like, strict=True))
        self._known = behaves_like.keys()
        self._purchases = {name for name, like in behaves_like.items() if like == EVENT_TYPES[PURCHASE]}
        # By type of event, the goals that name it or what it behaves like: a bit, and what else they ask.
        self._asked: dict[str, list[tuple[int, Mapping[str, Condition]]]] = {}
        for place, goal in enumerate(shop.goals.values()):
            for name, like in behaves_like.items():
                if name in goal.event or like in goal.event:
                    self._asked.setdefault(name, []).append((1 << place, goal.where))

    def met(self, events: Sequence[Event]) -> MetGoals:
        """Return the goals that each event meets `(events,)`."""
        if not self._asked:
            return np.zeros(len(events), np.uint16)
        return np.array([self._met_by(event) for event in events], np.uint16)

    def values(self, events: Sequence[Event]) -> npt.NDArray[np.float32]:
        """Return price times quantity of each purchase `(events,)`; NaN of one without a price, 0 of other events."""
        values = (_value(event) if self._type(event) in self._purchases else 0.0 for event in events)
        return np.array([np.nan if value is None else value for value in values], np.float32)

    def _type(self, event: Event) -> str:
        return event.type if event.type in self._known else _OTHER

    def _met_by(self, event: Event) -> int:
        met = 0
        for bit, where in self._asked.get(self._type(event), ()):
            if all(condition.holds(_field(event, name)) for name, condition in where.items()):
                met |= bit
        return met


def _value(event: Event) -> float | None:
    """Return price times quantity, of one unit if the event does not say how many."""
    if event.price is None:
        return None
    return min(max(event.price * (1.0 if event.quantity is None else event.quantity), 0.0), _LARGEST_VALUE)


def _field(event: Event, name: str) -> str | float | None:
    match name:
        case "value":
            return _value(event)
        case "price" | "quantity" | "rating" | "item_id" | "category" | "channel":
            found: str | float | None = getattr(event, name)
            return found
    return (event.attributes or {}).get(name)
