"""What the network sees of an event: codes for its embeddings, and numeric features of about unit scale.

Every feature is computed in the loop that appends events to states (`model.core.append`), which training, offline
scoring and the worker share; so they cannot differ.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.compiled import StateRecord, compiled
from model.events import PURCHASE, TYPE_CODES
from model.horizons import DAY_MS, SESSION_GAP_MS
from model.sequence import (
    GAP_FRACTION_BITS,
    GAP_SHIFT,
    HAS_WORDS,
    RECENT_DECAY_SECONDS,
    RECENT_GROUPS,
    RING_EVENTS,
)

NUMERIC_FEATURES: Final = (
    "is_first_event",
    "is_first_of_session",
    "log_gap",
    "log_session_age",
    "log_session_events",
    "has_price",
    "log_price",
    "hour_sin",
    "hour_cos",
    *(f"recent_{group}_{decay}s" for group in RECENT_GROUPS for decay in RECENT_DECAY_SECONDS),
    *(f"since_{group}" for group in RECENT_GROUPS),
    "log_same_item",
    "same_item_carted",
    "same_item_favorited",
    "same_item_purchased",
    "log_since_same_item",
    "log_same_category",
    "log_distinct_items",
    "since_same_item",
    "item_purchases",
    "item_session_events",
    "item_of_earlier_day",
    "since_same_category",
    "since_category_cart",
    "category_purchases",
    "category_carts",
    "category_favorites",
    "category_session_events",
    "category_session_share",
    "purchases_a_session",
    "carts_a_session",
    "sessions_a_day",
    "purchases_a_day",
    "events_a_session",
    "category_rate",
    "category_events",
)
"""Names of the numeric features, in the order of the columns of `Features.numeric`.

What begins at zero with every history and then only grows (a shopper's age, events, purchases) is not among them: in a
short history it is the calendar, which a network extrapolates.
"""

CATEGORY_RATES: Final = NUMERIC_FEATURES.index("category_rate")
"""This column and the next are all shoppers', of the event's category: not in a state, but written afterwards, by
`count_categories` or `write_category_rates`."""
_BEHIND_RATES: Final = CATEGORY_RATES + 2
_GROUPS: Final = len(RECENT_GROUPS)
_DECAYS: Final = len(RECENT_DECAY_SECONDS)
_DECAYS_MS: Final = 1000.0 * np.array(RECENT_DECAY_SECONDS)
_CLOCK: Final = NUMERIC_FEATURES.index("is_first_event")
_PRICE: Final = NUMERIC_FEATURES.index("has_price")
_CALENDAR: Final = NUMERIC_FEATURES.index("hour_sin")
_RECENT: Final = _CALENDAR + 2
_SINCE: Final = _RECENT + _GROUPS * _DECAYS
_FAMILIARITY: Final = NUMERIC_FEATURES.index("log_same_item")
_ITEM: Final = NUMERIC_FEATURES.index("since_same_item")
_CATEGORY: Final = NUMERIC_FEATURES.index("since_same_category")
_HABITS: Final = NUMERIC_FEATURES.index("purchases_a_session")

_TIME_SCALE: Final = 1.0 / 10.0  # log1p of a week in seconds is 13.3
_COUNT_SCALE: Final = 1.0 / 3.0
_USUAL_LOG_PRICE: Final = 3.5  # 32 of whatever the currency is; a shop of others learns another level
_DAY_S: Final = DAY_MS // 1000
_SHRUNK_BY: Final = 25.0  # events: a category of so many is believed half
_NEVER: Final = 1.5  # in place of the logarithm of a time; that of 100 days is 1.6
_CART: Final = TYPE_CODES["cart"]
_CHECKOUT: Final = TYPE_CODES["checkout"]
_FAVORITE: Final = TYPE_CODES["favorite"]
_PURCHASE: Final = PURCHASE
_CARTS: Final = RECENT_GROUPS.index("cart")
_PURCHASES: Final = RECENT_GROUPS.index("purchase")


@dataclass(frozen=True, slots=True)
class Features:
    """The model's inputs for events sorted by user, each user's in order; row i belongs to row i of the `Appended`."""

    numeric: npt.NDArray[np.float32]
    """`(events, len(NUMERIC_FEATURES))`; of a shop with N numeric attributes N columns of them follow, and N that say
    whether each is known."""
    types: npt.NDArray[np.int64]
    """Positions in `Shop.event_types` `(events,)`."""
    categories: npt.NDArray[np.int64]
    """Codes `(events,)`; 0 is none for categories."""
    tokens: npt.NDArray[np.int64]
    """Codes of the words that were written `(events, TOKENS)`, 0 for none."""
    labels: npt.NDArray[np.int64]
    """Codes of the shop's categorical attributes `(events, attributes)`, 0 for unknown."""

    def __len__(self) -> int:
        return len(self.types)


@compiled
def write_clock(numeric: npt.NDArray[np.float32], state: StateRecord, gap_ms: np.int64, time_ms: np.int64) -> None:
    """Write when the event happened, and where in its session; `state` includes the event, `gap_ms` is -1 if first."""
    is_first = gap_ms < 0
    numeric[_CLOCK] = is_first
    numeric[_CLOCK + 1] = is_first or gap_ms > SESSION_GAP_MS
    numeric[_CLOCK + 2] = _log_time(gap_ms)
    numeric[_CLOCK + 3] = _log_time(time_ms - np.int64(state.session_start_s) * 1000)
    numeric[_CLOCK + 4] = math.log1p(state.session_events) * _COUNT_SCALE
    day = time_ms % DAY_MS / DAY_MS * (2 * math.pi)
    numeric[_CALENDAR] = math.sin(day)
    numeric[_CALENDAR + 1] = math.cos(day)


@compiled
def write_price(numeric: npt.NDArray[np.float32], log_price: np.float32) -> None:
    """Write log1p of the price, NaN for none."""
    has_price = not math.isnan(log_price)
    numeric[_PRICE] = has_price
    numeric[_PRICE + 1] = min(max(float(log_price - _USUAL_LOG_PRICE) / 1.5, -3.0), 6.0) if has_price else 0.0


@compiled
def write_recent(
    numeric: npt.NDArray[np.float32], state: StateRecord, group: np.int8, gap_ms: np.int64, time_s: np.int64
) -> None:
    """Decay and count the groups of event types, and write them with the time since each was last seen.

    `group` is the event's own, -1 for none; the time since is that before the event.
    """
    for decay in range(_DECAYS):
        factor = np.float32(math.exp(-max(float(gap_ms), 0.0) / _DECAYS_MS[decay]))
        for each in range(_GROUPS):
            count = state.recent[each, decay] * factor
            if each == group:
                count += np.float32(1)
            state.recent[each, decay] = count
            numeric[_RECENT + each * _DECAYS + decay] = math.log1p(count) * _COUNT_SCALE
    for each in range(_GROUPS):
        seen_s = np.int64(state.last_seen_s[each])
        numeric[_SINCE + each] = _log_time((time_s - seen_s) * 1000) if seen_s else 0.0
    if group >= 0:
        state.last_seen_s[group] = time_s
    state.carts += group == _CARTS
    state.purchases += group == _PURCHASES


@compiled
def write_familiarity(  # noqa: PLR0913, PLR0917 - an event and a state
    numeric: npt.NDArray[np.float32],
    state: StateRecord,
    item: np.int64,
    category: np.int64,
    time_ms: np.int64,
    last_s: np.int64,
) -> None:
    """Write what the ring, which does not hold the event yet, knows of its item and category (codes, 0 for none).

    `last_s` is when the event before it happened, the latest of the ring.
    """
    same_item = same_category = distinct_items = with_item = 0
    for slot in range(RING_EVENTS):  # slots without an event have no item and no category
        earlier = state.ring_items[slot]
        same_item += earlier == item
        same_category += state.ring_categories[slot] == category
        if earlier > 0:
            with_item += 1
            distinct_items += not _holds_item(state, earlier, slot)
    if with_item == RING_EVENTS:
        distinct_items -= 1  # models have been trained on this count: one less once every slot holds an item
    numeric[_FAMILIARITY:_HABITS] = 0.0
    numeric[_FAMILIARITY + 6] = math.log1p(distinct_items) * _COUNT_SCALE
    numeric[_ITEM] = numeric[_CATEGORY] = numeric[_CATEGORY + 1] = _NEVER
    if item > 0 and same_item > 0:
        numeric[_FAMILIARITY] = math.log1p(same_item) * _COUNT_SCALE
        _write_same_item(numeric, state, item, time_ms, last_s)
    if category > 0 and same_category > 0:
        numeric[_FAMILIARITY + 5] = math.log1p(same_category) * _COUNT_SCALE
        _write_same_category(numeric, state, category, time_ms, last_s)


@compiled
def _write_same_item(
    numeric: npt.NDArray[np.float32], state: StateRecord, item: np.int64, time_ms: np.int64, last_s: np.int64
) -> None:
    """Write what happened to an item that the ring holds, and the time since; `state` counts the event."""
    newest = np.int64(state.events) - 2
    seen_s = np.int64(-1)
    purchases = in_session = 0
    for back in range(min(state.events - 1, RING_EVENTS)):  # from the latest event to the oldest
        slot = (newest - back) % RING_EVENTS
        packed = np.int64(state.ring_events[slot])
        if state.ring_items[slot] == item:
            kind = packed & (HAS_WORDS - 1)
            if kind in (_CART, _CHECKOUT):
                numeric[_FAMILIARITY + 1] = 1.0
            elif kind == _FAVORITE:
                numeric[_FAMILIARITY + 2] = 1.0
            purchases += kind == _PURCHASE
            in_session += back < state.session_events - 1
            if seen_s < 0:
                seen_s = last_s
            if last_s // _DAY_S < time_ms // DAY_MS:
                numeric[_ITEM + 3] = 1.0
        last_s -= gap_seconds(packed >> GAP_SHIFT)
    numeric[_FAMILIARITY + 3] = purchases > 0
    numeric[_FAMILIARITY + 4] = numeric[_ITEM] = _log_time(time_ms - seen_s * 1000)
    numeric[_ITEM + 1] = math.log1p(purchases) * _COUNT_SCALE
    numeric[_ITEM + 2] = math.log1p(in_session) * _COUNT_SCALE


@compiled
def _write_same_category(
    numeric: npt.NDArray[np.float32], state: StateRecord, category: np.int64, time_ms: np.int64, last_s: np.int64
) -> None:
    """Write what happened in a category that the ring holds, and the times since; `state` counts the event."""
    newest = np.int64(state.events) - 2
    before_in_session = min(state.session_events - 1, RING_EVENTS)
    seen_s = carted_s = np.int64(-1)
    purchases = carts = favorites = in_session = 0
    for back in range(min(state.events - 1, RING_EVENTS)):  # from the latest event to the oldest
        slot = (newest - back) % RING_EVENTS
        packed = np.int64(state.ring_events[slot])
        if state.ring_categories[slot] == category:
            kind = packed & (HAS_WORDS - 1)
            is_cart = kind in (_CART, _CHECKOUT)
            purchases += kind == _PURCHASE
            carts += is_cart
            favorites += kind == _FAVORITE
            in_session += back < before_in_session
            if seen_s < 0:
                seen_s = last_s
            if is_cart and carted_s < 0:
                carted_s = last_s
        last_s -= gap_seconds(packed >> GAP_SHIFT)
    numeric[_CATEGORY] = _log_time(time_ms - seen_s * 1000)
    if carts > 0:
        numeric[_CATEGORY + 1] = _log_time(time_ms - carted_s * 1000)
    numeric[_CATEGORY + 2] = math.log1p(purchases) * _COUNT_SCALE
    numeric[_CATEGORY + 3] = math.log1p(carts) * _COUNT_SCALE
    numeric[_CATEGORY + 4] = math.log1p(favorites) * _COUNT_SCALE
    numeric[_CATEGORY + 5] = math.log1p(in_session) * _COUNT_SCALE
    if before_in_session > 0:
        numeric[_CATEGORY + 6] = in_session / before_in_session


@compiled
def gap_seconds(code: np.int64) -> np.int64:
    """Return the seconds that a ring's gap stands for, as `model.sequence.gap_seconds` does."""
    exponent, fraction = code >> GAP_FRACTION_BITS, code & ((1 << GAP_FRACTION_BITS) - 1)
    return ((1 << GAP_FRACTION_BITS) + fraction) << (exponent - 1) if exponent else fraction


@compiled
def _holds_item(state: StateRecord, item: np.uint16, before_slot: int) -> bool:
    """Whether a ring slot before this one holds the item."""
    found = False
    for slot in range(before_slot):
        found |= state.ring_items[slot] == item  # no early end: this way the compiler compares many at once
    return found


@compiled
def write_habits(numeric: npt.NDArray[np.float32], state: StateRecord, time_ms: np.int64) -> None:
    """Write the shopper's long-term rates; the constants added shrink rates over a short past."""
    purchases, carts = np.int64(state.purchases), np.int64(state.carts)
    events, sessions = np.int64(state.events), np.int64(state.sessions)
    days = (time_ms - np.int64(state.first_time_s) * 1000) / DAY_MS
    numeric[_HABITS] = purchases / (sessions + 2.0)
    numeric[_HABITS + 1] = carts / (sessions + 2.0)
    numeric[_HABITS + 2] = min(sessions / (days + 2.0), 5.0)
    numeric[_HABITS + 3] = min(purchases / (days + 7.0), 5.0)
    numeric[_HABITS + 4] = min(events / (10.0 * sessions), 3.0)
    numeric[CATEGORY_RATES:] = 0.0


def write_numbers(numeric: npt.NDArray[np.float32], numbers: npt.NDArray[np.float16]) -> None:
    """Write a shop's numeric attributes `(events, attributes)` behind the other features, and whether each is known.

    An unknown one, which is NaN, is 0 and 0.
    """
    known = ~np.isnan(numbers)
    first, attributes = len(NUMERIC_FEATURES), numbers.shape[1]
    numeric[:, first : first + attributes] = np.where(known, numbers, np.float16(0))
    numeric[:, first + attributes :] = known


@compiled
def write_category_rates(
    numeric: npt.NDArray[np.float32], categories: npt.NDArray[np.int64], rates: npt.NDArray[np.float32]
) -> None:
    """Write to each row of `numeric` `(events, features)` what `rates` `(CATEGORY_CODES, 2)` say of its category."""
    for event in range(len(categories)):
        numeric[event, CATEGORY_RATES:_BEHIND_RATES] = rates[categories[event]]


@compiled
def count_categories(
    numeric: npt.NDArray[np.float32],
    categories: npt.NDArray[np.int64],
    types: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> None:
    """Write to each row what the events before it say of its category, and count it; `order` is that of arrival.

    `types` are built-in. `counts` `(CATEGORY_CODES + 1, 2)` are the events and purchases so far: by category, and of
    all in the last row.
    """
    for event in order:
        category, is_purchase = categories[event], types[event] == _PURCHASE
        write_rate(numeric[event, CATEGORY_RATES:], counts[category], counts[-1])
        counts[-1, 0] += 1
        counts[-1, 1] += is_purchase
        if category > 0:  # of no category nothing is known, however often it comes
            counts[category, 0] += 1
            counts[category, 1] += is_purchase


@compiled
def category_rates(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return what `counts` `(CATEGORY_CODES + 1, 2)` say of each category `(CATEGORY_CODES, 2)`."""
    rates = np.empty((len(counts) - 1, 2), np.float32)
    for category in range(len(rates)):
        write_rate(rates[category], counts[category], counts[-1])
    return rates


@compiled
def write_rate(
    numbers: npt.NDArray[np.float32], of_category: npt.NDArray[np.int64], total: npt.NDArray[np.int64]
) -> None:
    """Write a category's purchase rate, shrunk to that of all events, and how often it was seen.

    `of_category` and `total` are numbers of events and of purchases.
    """
    overall = (total[1] + 1.0) / (total[0] + 50.0)  # 2 % before anything is known
    events, purchases = of_category[0], of_category[1]
    numbers[0] = math.log((purchases + _SHRUNK_BY * overall) / (events + _SHRUNK_BY))
    numbers[1] = math.log1p(events) * 0.2


@compiled
def _log_time(milliseconds: np.int64) -> float:
    return math.log1p(max(float(milliseconds), 0.0) / 1000.0) * _TIME_SCALE
