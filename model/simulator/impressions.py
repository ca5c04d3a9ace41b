"""Lists that a page shows the simulated shoppers: what is clicked depends on its place and on what they want.

What the shoppers do is not changed: an impression, an event of its own, comes before some of their views. The item
that is viewed next is what the shopper's taste has chosen. A list has it as often as its maker is good (`LISTED`), and
it is clicked at place k with the probability `examined(k)`, which says how far down people look (the examination
hypothesis; Craswell et al., "An experimental comparison of click position-bias models", 2008). Whoever did not look so
far would not have viewed it, so a list without a click does not have it. Hence of the items shown at place k

    LISTED[maker] / PLACES * examined(k)

are clicked, and some by chance, as shoppers come across others of them by themselves.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from model.events import IMPRESSION, Event

LISTED: Final = {"popular": 0.2, "personal": 0.7}
"""By who makes the lists: how many have what the shopper views next. Each shopper always sees those of the same one."""
PLACES: Final = 8
SHOWN: Final = 0.5
"""Before so many of the views of another item a list is shown."""
DECAY: Final = 0.8
_BEFORE_MS: Final = 500
"""No pause between two events is so short."""
_NOTHING: Final = dict.fromkeys(("item_id", "category", "price", "quantity", "rating", "text", "attributes"))


def examined(places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how likely a shopper looks at the item in a place, from 1."""
    return np.asarray(places**-DECAY)


def maker_of(user_id: str) -> str:
    """Return who makes the lists that a shopper sees: an experiment with one half for each."""
    return tuple(LISTED)[zlib.crc32(user_id.encode()) % len(LISTED)]


def with_impressions(events: Iterator[Event], item_ids: Sequence[str], seed: int) -> Iterator[Event]:
    """Yield the events, with impressions before some of the views."""
    random, last_viewed = np.random.default_rng([seed, 4]), dict[str, str]()
    for event in events:
        if event.type == "view" and event.item_id is not None:
            is_another = last_viewed.get(event.user_id) != event.item_id
            last_viewed[event.user_id] = event.item_id
            if is_another and random.random() < SHOWN:
                yield _impression(event, event.item_id, item_ids, random)
        yield event


def _impression(event: Event, wanted: str, item_ids: Sequence[str], random: np.random.Generator) -> Event:
    """Return the list that is shown before a view."""
    maker, place = maker_of(event.user_id), int(random.integers(PLACES))
    drawn = dict.fromkeys(random.integers(len(item_ids), size=4 * PLACES).tolist())
    items = [item_ids[number] for number in drawn if item_ids[number] != wanted][:PLACES]
    if random.random() < LISTED[maker] * examined(np.array(place + 1)):
        items[place] = wanted
    return replace(
        event,
        event_id=f"{event.event_id}-shown",
        type=IMPRESSION,
        ts=event.ts - _BEFORE_MS,
        items=items,
        model_version=maker,
        placement="home",
        **_NOTHING,
    )
