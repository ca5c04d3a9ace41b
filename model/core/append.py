"""Appending events to sequence states: de-duplication, sessions, recent counts, rings, and each event's features.

One plain loop over the events. A user's events are applied in order, so the result does not depend on how a stream is
divided into batches.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.core.compiled import StateRecord, compiled
from model.core.features import (
    NUMERIC_FEATURES,
    Features,
    write_clock,
    write_familiarity,
    write_habits,
    write_numbers,
    write_price,
    write_recent,
)
from model.events import IMPRESSION_CODE, TYPE_CODES
from model.horizons import SESSION_GAP_MS
from model.sequence import (
    GAP_FRACTION_BITS,
    GAP_SHIFT,
    HAS_WORDS,
    ID_BLOCKS,
    IDS_PER_BLOCK,
    MAX_GAP_CODE,
    NO_PRICE,
    PRICE_SHIFT,
    PRICE_UNITS,
    RECENT_GROUPS,
    REMEMBERED_IDS,
    REMEMBERED_TEXTS,
    RING_EVENTS,
)
from model.text import TOKENS

_GROUP_OF_TYPE: Final = np.full(len(TYPE_CODES), -1, np.int8)
for _group, _name in enumerate(RECENT_GROUPS):
    _GROUP_OF_TYPE[TYPE_CODES[_name]] = _group
_GROUP_OF_TYPE[TYPE_CODES["checkout"]] = RECENT_GROUPS.index("cart")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a batch's events come from; `offsets` `(events,)` increase within a partition."""

    code: int
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Appended:
    """The accepted events of a batch, sorted by user, each user's in order of arrival."""

    rows: npt.NDArray[np.int64]
    """Indices into the batch `(accepted,)`."""
    users: npt.NDArray[np.int64]
    """Indices into the states `(accepted,)`; ascending."""
    time_ms: npt.NDArray[np.int64]
    """The time at which each was applied `(accepted,)`: its own, or that of a later event of the user before it."""
    features: Features
    late: npt.NDArray[np.int64]
    """Indices into the batch `(late,)` of events left out because nobody knows any more whether they came before."""
    impressions: npt.NDArray[np.int64]
    """Indices into the batch `(impressions,)` of impressions: not appended, and not known from repeated ones."""
    duplicates: int
    """Events left out because their user had sent the same event id before."""
    already_applied: int
    """Events left out because their user's state had seen a later source offset: fetched again after a crash."""

    def __len__(self) -> int:
        return len(self.rows)


def append_events(
    sequences: npt.NDArray[np.void], users: npt.NDArray[np.int64], batch: EventBatch, source: Source
) -> Appended:
    """Append a batch to the `(users,)` SEQUENCE records in place; `users[i]` is the record of the batch's event i.

    Duplicates, late events, impressions and events already applied change nothing but the state's source offset.
    """
    events = len(users)
    rows, late, impressions, time_ms = (np.empty(events, np.int64) for _ in range(4))
    own_numbers = None if batch.own is None else batch.own.numbers
    inputs = len(NUMERIC_FEATURES) + (0 if own_numbers is None else 2 * own_numbers.shape[1])
    numeric = np.empty((events, inputs), np.float32)
    accepted, refused, shown, duplicates, already_applied = append_in_order(
        sequences,
        np.argsort(users, kind="stable"),  # by user, each user's in order of arrival
        users,
        source.offsets,
        source.code,
        batch.type_codes,
        batch.event_time_ms,
        batch.prices,
        batch.event_hashes,
        batch.item_codes,
        batch.category_codes,
        batch.token_codes,
        rows,
        late,
        impressions,
        time_ms,
        numeric,
    )
    rows = rows[:accepted]
    types, labels = batch.type_codes[rows], np.empty((accepted, 0), np.int64)
    if batch.own is not None:
        own = batch.own.take(rows)
        types, labels = own.types, own.labels.astype(np.int64)
        write_numbers(numeric[:accepted], own.numbers)
    return Appended(
        rows=rows,
        users=users[rows],
        time_ms=time_ms[:accepted],
        features=Features(
            numeric=numeric[:accepted],
            types=types.astype(np.int64),
            categories=batch.category_codes[rows].astype(np.int64),
            tokens=batch.token_codes[rows].astype(np.int64),
            labels=labels,
        ),
        late=late[:refused],
        impressions=impressions[:shown],
        duplicates=duplicates,
        already_applied=already_applied,
    )


@compiled
def append_in_order(  # noqa: C901, PLR0913, PLR0915, PLR0917 - the columns of a batch, and all that becomes of an event
    sequences: npt.NDArray[np.void],
    order: npt.NDArray[np.int64],
    users: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    source: int,
    types: npt.NDArray[np.uint8],
    times_ms: npt.NDArray[np.int64],
    prices: npt.NDArray[np.float64],
    hashes: npt.NDArray[np.uint64],
    items: npt.NDArray[np.uint32],
    categories: npt.NDArray[np.uint16],
    tokens: npt.NDArray[np.uint16],
    rows: npt.NDArray[np.int64],
    late: npt.NDArray[np.int64],
    impressions: npt.NDArray[np.int64],
    applied_ms: npt.NDArray[np.int64],
    numeric: npt.NDArray[np.float32],
) -> tuple[int, int, int, int, int]:
    """Append the events of a batch, in the order of the indices `order`.

    Fills the first entries of `rows`, `applied_ms` and `numeric` with the accepted events, and those of `late` and
    `impressions` with these. Returns the numbers of events accepted, late, impressions, duplicates, already applied.
    """
    accepted = refused = shown = duplicates = already_applied = 0
    for event in order:
        state = sequences[users[event]]
        if state.source == source and offsets[event] <= state.offset:
            already_applied += 1
            continue
        state.source = source
        state.offset = offsets[event]
        if types[event] == IMPRESSION_CODE:
            impressions[shown] = event
            shown += 1
            continue
        if _is_remembered(state, hashes[event]):
            duplicates += 1
            continue
        if times_ms[event] // 1000 <= state.forgotten_s and times_ms[event] < state.last_time_ms:
            late[refused] = event
            refused += 1
            continue
        number = np.int64(state.events)
        log_price = math.log1p(prices[event])
        features = numeric[accepted]

        # Time and session. Event times never decrease; a gap above SESSION_GAP_MS begins a session.
        time_ms = np.int64(max(times_ms[event], state.last_time_ms))
        time_s, last_s = time_ms // 1000, state.last_time_ms // 1000
        gap_ms = np.int64(time_ms - state.last_time_ms if number else -1)
        if number == 0:
            state.first_time_s = time_s
        if number == 0 or gap_ms > SESSION_GAP_MS:
            state.sessions += 1
            state.session_events = 0
            state.session_start_s = time_s
        state.session_events += 1
        state.last_time_ms = time_ms
        state.events += 1

        write_clock(features, state, gap_ms, time_ms)
        write_price(features, np.float32(log_price))
        write_recent(features, state, _GROUP_OF_TYPE[types[event]], gap_ms, time_s)
        item = np.int64(items[event]) & 0xFFFF
        write_familiarity(features, state, item, np.int64(categories[event]), time_ms, last_s)
        write_habits(features, state, time_ms)

        # Remember the event, in place of the oldest one.
        _remember(state, number, hashes[event], times_ms[event] // 1000)
        slot = number % RING_EVENTS
        state.ring_items[slot] = item
        state.ring_categories[slot] = categories[event]
        packed = np.int64(types[event]) | (_price_units(log_price) << PRICE_SHIFT)
        packed |= gap_code(time_s - last_s if number else np.int64(0)) << GAP_SHIFT
        if tokens[event, 0] > 0:  # codes of words come before zeros
            packed |= HAS_WORDS
            _remember_words(state, tokens, event)
        state.ring_events[slot] = packed

        rows[accepted] = event
        applied_ms[accepted] = time_ms
        accepted += 1
    return accepted, refused, shown, duplicates, already_applied


@compiled
def _is_remembered(state: StateRecord, event_hash: np.uint64) -> bool:
    """Whether the hash, as far as it is kept, is that of one of the last REMEMBERED_IDS accepted event ids."""
    first, end = np.uint32(event_hash >> np.uint64(32)), np.int64(event_hash >> np.uint64(28)) & 15
    found = False
    for slot in range(REMEMBERED_IDS):
        found |= state.ids[slot] == first  # no early end: this way the compiler compares many at once
    if found:  # nearly always a repeat: look at the last four bits as well
        found = False
        for slot in range(REMEMBERED_IDS):
            found |= state.ids[slot] == first and (np.int64(state.id_ends[slot // 2]) >> slot % 2 * 4) & 15 == end
    return found


@compiled
def _remember(state: StateRecord, number: np.int64, event_hash: np.uint64, time_s: np.int64) -> None:
    """Keep the first ID_BITS of the hash of the accepted event `number`, and how late its block comes."""
    slot = number % REMEMBERED_IDS
    block = slot // IDS_PER_BLOCK
    if slot % IDS_PER_BLOCK == 0:
        _forget(state, block)  # even of the first events: a claimed id keeps what it was sent before
        state.block_latest_s[block] = 0
    state.block_latest_s[block] = max(state.block_latest_s[block], np.uint32(time_s))
    shift = slot % 2 * 4
    end = np.int64(event_hash >> np.uint64(28)) & 15
    state.ids[slot] = event_hash >> np.uint64(32)
    state.id_ends[slot // 2] = (np.int64(state.id_ends[slot // 2]) & ~(15 << shift)) | (end << shift)


@compiled
def _forget(state: StateRecord, forgotten: np.int64) -> None:
    """Note until when events are forgotten with a block of ids.

    A wrong clock may have dated an event of the block after all of the 48 that followed it. It counts as one of their
    time: else its shopper's events would be late until its time has come.
    """
    latest_s = np.uint32(0)
    for block in range(ID_BLOCKS):
        if block != forgotten:
            latest_s = max(latest_s, state.block_latest_s[block])
    state.forgotten_s = max(state.forgotten_s, min(latest_s, state.block_latest_s[forgotten]))


@compiled
def _remember_words(state: StateRecord, tokens: npt.NDArray[np.uint16], event: np.int64) -> None:
    """Put an event's words first, in place of the oldest event's."""
    for place in range(TOKENS):
        for text in range(REMEMBERED_TEXTS - 1, 0, -1):
            state.words[text, place] = state.words[text - 1, place]
        state.words[0, place] = tokens[event, place]


@compiled
def _price_units(log_price: float) -> int:
    """Return log1p of a price as a ring stores it."""
    if math.isnan(log_price):
        return NO_PRICE
    return min(int(log_price * PRICE_UNITS + 0.5), NO_PRICE - 1)


@compiled
def gap_code(gap_s: np.int64) -> int:
    """Return a time between two events as a ring stores it: rounded to the nearest, the largest if it is larger."""
    exponent, fraction = 0, gap_s
    while fraction >= 2 << GAP_FRACTION_BITS:
        exponent += 1
        fraction = (gap_s + (1 << (exponent - 1))) >> exponent
    return min((exponent << GAP_FRACTION_BITS) + int(fraction), MAX_GAP_CODE)
