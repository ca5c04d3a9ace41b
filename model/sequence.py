"""A user's sequence state: one numpy structured record. `model.core.append` appends events to it.

Every byte is held once for each shopper in memory and once in the changelog, so nothing is wider than what it says.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xxhash

from model.shop import NO_SHOP, Shop, distinct_hashes
from model.text import TOKENS

LAYOUT: Final = 6
"""Version of the record's layout; a state of another layout is refused, never misread."""
NO_MODEL: Final = 0
"""In place of the hash of a model: nobody's numbers, to be rebuilt."""
RING_EVENTS: Final = 32
REMEMBERED_IDS: Final = 64
ID_BLOCKS: Final = 4
"""The remembered ids are forgotten in blocks, oldest first; of each block a state holds the latest event time."""
IDS_PER_BLOCK: Final = REMEMBERED_IDS // ID_BLOCKS
REMEMBERED_TEXTS: Final = 4

ID_BITS: Final = 36
"""Of an event id's 64-bit hash, the first bits are kept: 32 of them in `ids`, the rest, four bits, in `id_ends`.

An event is taken for a repeat by mistake with a probability of at most REMEMBERED_IDS / 2**ID_BITS, one in a billion.
"""

# A ring event, from the lowest bit: its type, whether it has words, its price, and the time since the event before it.
TYPE_BITS: Final = 4
HAS_WORDS: Final = 1 << TYPE_BITS
PRICE_SHIFT: Final = TYPE_BITS + 1
PRICE_BITS: Final = 9
PRICE_UNITS: Final = 40
"""A ring holds log1p of a price in units of 1 / PRICE_UNITS: to 1.3 %, up to the largest that features tell apart."""
NO_PRICE: Final = (1 << PRICE_BITS) - 1
GAP_SHIFT: Final = PRICE_SHIFT + PRICE_BITS
GAP_FRACTION_BITS: Final = 14
"""A gap is a floating-point number without sign, of 4 + 14 bits, in seconds: exact below 9 hours, then to 0.003 %."""
MAX_GAP_CODE: Final = (1 << (32 - GAP_SHIFT)) - 1

RECENT_GROUPS: Final = ("view", "search", "favorite", "cart", "purchase")
"""Groups of event types whose recent counts are kept; a checkout counts as cart, other types in no group."""
RECENT_DECAY_SECONDS: Final = (15 * 60, 4 * 3600, 48 * 3600)
"""Time constants of the exponentially decayed counts."""

SEQUENCE: Final = np.dtype(
    [
        ("layout", "u1"),
        ("model", "<u4"),  # hash of the model version that wrote `carried`; 0 for none
        ("source", "<u4"),  # hash of the source that `offset` counts in
        ("offset", "<i8"),  # the last source offset applied, -1 for none
        ("events", "<u4"),  # accepted so far
        ("sessions", "<u4"),
        ("carts", "<u4"),  # accepted events so far of the groups cart and purchase
        ("purchases", "<u4"),
        ("first_time_s", "<u4"),  # when the first event happened, Unix seconds
        ("session_events", "<u4"),
        ("session_start_s", "<u4"),
        ("last_time_ms", "<i8"),  # the latest event time so far
        (
            "claimed",
            "<u2",
        ),  # 16 bits of the hash of the anonymous id that the user claimed last, 0 for none (model/identity.py)
        ("claims", "u1"),  # how often others have claimed this state
        ("recent", "<f4", (len(RECENT_GROUPS), len(RECENT_DECAY_SECONDS))),
        ("last_seen_s", "<u4", (len(RECENT_GROUPS),)),  # when an event of the group was last seen, 0 for never
        ("forgotten_s", "<u4"),  # the latest event time among ids that are forgotten: until then nothing new is known
        ("block_latest_s", "<u4", (ID_BLOCKS,)),  # the latest event time of each block of the ids
        # Ring buffers: the accepted event number n, from 0, is in slot n % REMEMBERED_IDS, or n % RING_EVENTS.
        ("ids", "<u4", (REMEMBERED_IDS,)),  # the first 32 bits of the last accepted ids' hashes
        ("id_ends", "u1", (REMEMBERED_IDS // 2,)),  # and the next four, two slots in a byte
        ("ring_items", "<u2", (RING_EVENTS,)),  # of the last accepted events, 0 for none
        ("ring_categories", "<u2", (RING_EVENTS,)),
        ("ring_events", "<u4", (RING_EVENTS,)),  # type, price and time, as the constants above say
        ("words", "<u2", (REMEMBERED_TEXTS, TOKENS)),  # of the last events that had any, the latest first; 0 for none
    ]
)
STORED_EVENT: Final = np.dtype(
    [
        ("time_s", "<i8"),
        ("type", "u1"),
        ("item", "<u4"),  # the lower half of its code, if the upper halves are not kept
        ("category", "<u2"),
        ("log_price", "<f8"),  # log1p of the price, NaN for none
        ("tokens", "<u2", (TOKENS,)),
        ("id_hash", "<u8"),  # ID_BITS
    ]
)
"""An event as it is read from a ring."""


HAS_OWN: Final = 128
"""Bit of the layout's byte of a state in which a shop's own ring follows the sequence."""
OF_ITEMS: Final[dict[int, tuple[Any, ...]]] = {
    64: ("item_ends", "<u2", (RING_EVENTS,)),  # the upper halves of the ring's item codes
    32: ("recommended_ms", "<i8"),  # the time of the last event at which items were recommended, 0 for none
}
"""The same bits, and what follows in this order in a state of a model that recommends items; earlier ones lack some."""


_OWN_RINGS: Final = ("types", "labels", "numbers")


def own_dtype(categorical: int, numeric: int, *, has_types: bool) -> np.dtype[np.void]:
    """Return the dtype of a shop's own ring, for so many attributes of each kind.

    It says itself what it holds, so that a state can be read after the definition has changed.
    """
    types = [("types", "<u2", (RING_EVENTS,))] if has_types else []
    return np.dtype(
        [
            ("categorical", "u1"),
            ("numeric", "u1"),
            ("has_types", "u1"),
            ("names", "<u2", (categorical + numeric,)),  # hashes of the attributes' kinds and names, categorical first
            *types,  # hashes of the shop's own types, 0 for built-in ones; slots are those of the sequence's rings
            ("labels", "u1", (RING_EVENTS, categorical)),  # codes of categorical attributes, 0 for unknown
            ("numbers", "<f2", (RING_EVENTS, numeric)),  # signed log1p of numeric attributes, NaN for unknown
        ]
    )


def own_dtype_of(shop: Shop) -> np.dtype[np.void]:
    """Return the dtype of a shop's own ring."""
    return own_dtype(len(shop.categorical), len(shop.numeric), has_types=bool(shop.types))


def new_own(users: int, shop: Shop) -> npt.NDArray[np.void]:
    """Return the own rings `(users,)` of users who have done nothing yet."""
    records = np.zeros(users, own_dtype_of(shop))
    records["categorical"], records["numeric"] = len(shop.categorical), len(shop.numeric)
    records["has_types"] = bool(shop.types)
    hashes = distinct_hashes(f"{of.kind} {name}" for name, of in shop.attributes.items())
    named = dict(zip(shop.attributes, hashes, strict=True))
    records["names"] = [named[name] for name in (*shop.categorical, *shop.numeric)]
    records["numbers"] = np.nan
    return records


def state_dtype(
    carried_floats: int, horizons: int, shop: Shop = NO_SHOP, *, has_item_ends: bool = False
) -> np.dtype[np.void]:
    """Return the table value's dtype for a model that carries `carried_floats` numbers from event to event.

    They are rounded to half precision after every event, so that what is stored is what goes on.
    `latest` holds the propensities after the last event, one per horizon, NaN if unknown; look-ups read them.
    `own` is there only if the shop defines types or attributes, what OF_ITEMS names only with `has_item_ends`.
    """
    own: list[tuple[str, object]] = [("own", own_dtype_of(shop))] if shop.has_own_events else []
    of_items = OF_ITEMS.values() if has_item_ends else ()
    of_model = [("carried", "<f2", (carried_floats,)), ("latest", "<f4", (horizons,))]
    return np.dtype([("sequence", SEQUENCE), *own, *of_items, *of_model])


def new_sequences(users: int) -> npt.NDArray[np.void]:
    """Return the `(users,)` records of users who have done nothing yet."""
    records = np.zeros(users, SEQUENCE)
    records["layout"] = LAYOUT
    records["offset"] = -1
    return records


def source_code(identity: str) -> int:
    """Return the hash that identifies the source of a state's offset."""
    return xxhash.xxh32_intdigest(identity.encode())


def shortened(event_hash: int) -> int:
    """Return what a state keeps of an event id's 64-bit hash: its first ID_BITS."""
    return event_hash >> (64 - ID_BITS)


def hexadecimal(id_hash: int) -> str:
    """Return what is kept of a hash as text: the first nine of the whole hash's sixteen digits."""
    return f"{id_hash:0{ID_BITS // 4}x}"


def own_of(states: npt.NDArray[np.void]) -> npt.NDArray[np.void] | None:
    """Return the shop's own rings of states, None if they have none."""
    return states["own"] if "own" in (states.dtype.names or ()) else None


def stored_events(
    sequences: npt.NDArray[np.void],
    own: npt.NDArray[np.void] | None = None,
    item_ends: npt.NDArray[np.uint16] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
    """Return the user and the STORED_EVENT of every event in the rings `(events,)`: by user, oldest first.

    With the users' `own_of`, the events have what it holds besides, as `own_types`, `own_labels` and `own_numbers`;
    with their `item_ends` `(users, RING_EVENTS)`, whole item codes.
    """
    # Column k is the event numbered `events` - RING_EVENTS + k, if it is not negative: all are (users, RING_EVENTS).
    numbers = sequences["events"].astype(np.int64)[:, None] - RING_EVENTS + np.arange(RING_EVENTS)
    users, columns = np.nonzero(numbers >= 0)
    slots = numbers % RING_EVENTS
    packed = np.take_along_axis(sequences["ring_events"], slots, axis=1)
    # An event is as much older than the last one as the gaps after it add up to.
    gaps_s = gap_seconds(packed >> GAP_SHIFT)
    age_s = gaps_s[:, ::-1].cumsum(axis=1)[:, ::-1] - gaps_s
    time_s = sequences["last_time_ms"][:, None] // 1000 - age_s
    # The n-th last event with words has the n-th words, if so many are kept.
    has_words = (packed & HAS_WORDS) > 0
    place = np.where(has_words, has_words[:, ::-1].cumsum(axis=1)[:, ::-1], 0)
    price = (packed >> PRICE_SHIFT) & NO_PRICE
    rings = {} if own is None else {name: own[name] for name in _OWN_RINGS if name in (own.dtype.names or ())}
    of_shop = [(f"own_{name}", ring.dtype, ring.shape[2:]) for name, ring in rings.items()]
    events = np.zeros(len(users), [*STORED_EVENT.descr, *of_shop])
    at, number = (users, columns), numbers[users, columns]
    events["time_s"] = time_s[at]
    events["type"] = packed[at] & (HAS_WORDS - 1)
    events["item"] = sequences["ring_items"][users, slots[at]]
    if item_ends is not None:
        events["item"] |= item_ends[users, slots[at]].astype(np.uint32) << np.uint32(16)
    events["category"] = sequences["ring_categories"][users, slots[at]]
    events["log_price"] = np.where(price == NO_PRICE, np.nan, price / PRICE_UNITS)[at]
    for name, ring in rings.items():
        events[f"own_{name}"] = ring[users, slots[at]]
    kept = (place[at] > 0) & (place[at] <= REMEMBERED_TEXTS)
    events["tokens"][kept] = sequences["words"][users[kept], place[at][kept] - 1]
    slot = number % REMEMBERED_IDS
    ends = (sequences["id_ends"][users, slot // 2] >> (slot % 2 * 4)) & 15
    events["id_hash"] = sequences["ids"][users, slot].astype(np.uint64) << np.uint64(4) | ends.astype(np.uint64)
    return users, events


def gap_seconds(codes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Return the gaps that codes stand for, in seconds."""
    exponent, fraction = (part.astype(np.int64) for part in np.divmod(codes, 1 << GAP_FRACTION_BITS))
    leading = np.minimum(exponent, 1) << GAP_FRACTION_BITS
    gaps_s: npt.NDArray[np.int64] = (leading + fraction) << np.maximum(exponent - 1, 0)
    return gaps_s
