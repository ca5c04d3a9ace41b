"""Joining two sequence states into that of one shopper, and when that is due, in plain loops.

Counters add up; what is kept of single events (rings, words, ids) is put in the order of their times, the source's
before the target's where they are equal. Of ids older than the ring a state knows only how late the latest of their
block came, which stands for the time of each.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from model.core.append import gap_code
from model.core.compiled import StateRecord, compiled
from model.core.features import gap_seconds
from model.horizons import SESSION_GAP_MS
from model.sequence import (
    GAP_SHIFT,
    HAS_WORDS,
    ID_BLOCKS,
    IDS_PER_BLOCK,
    RECENT_DECAY_SECONDS,
    RECENT_GROUPS,
    REMEMBERED_IDS,
    REMEMBERED_TEXTS,
    RING_EVENTS,
)
from model.text import TOKENS

_GROUPS: Final = len(RECENT_GROUPS)
_DECAYS_MS: Final = 1000.0 * np.array(RECENT_DECAY_SECONDS)
_WITHOUT_GAP: Final = (1 << GAP_SHIFT) - 1
NOWHERE: Final = -1


@compiled
def merge_sequences(
    targets: npt.NDArray[np.void], sources: npt.NDArray[np.void], origins: npt.NDArray[np.int64]
) -> None:
    """Merge each of `sources` `(pairs,)` into the one of `targets` that stands beside it, in place.

    Fills `origins` `(pairs, RING_EVENTS)`: from which slot each slot of the joined ring comes, of the target's ring or,
    from RING_EVENTS on, of the source's; NOWHERE if it holds no event. The target keeps its layout, model, source,
    offset and claims.
    """
    for pair in range(len(targets)):
        both = (targets[pair], sources[pair])
        times_s = np.empty((2, RING_EVENTS + 1), np.int64)
        for of in range(2):
            _read_times(both[of], times_s[of])
        _merge_ids(targets[pair], both, times_s)
        _merge_ring(targets[pair], both, times_s, origins[pair])
        _merge_sums(targets[pair], sources[pair])


@compiled
def _merge_sums(target: StateRecord, source: StateRecord) -> None:
    """Join what is not kept event by event."""
    target_ms, source_ms = np.int64(target.last_time_ms), np.int64(source.last_time_ms)
    latest_ms = max(target_ms, source_ms)
    for decay in range(len(_DECAYS_MS)):
        of_target = np.float32(math.exp((target_ms - latest_ms) / _DECAYS_MS[decay]))
        of_source = np.float32(math.exp((source_ms - latest_ms) / _DECAYS_MS[decay]))
        for group in range(_GROUPS):
            target.recent[group, decay] = (
                target.recent[group, decay] * of_target + source.recent[group, decay] * of_source
            )
    for group in range(_GROUPS):
        target.last_seen_s[group] = max(target.last_seen_s[group], source.last_seen_s[group])
    _merge_sessions(target, source)
    if source.events > 0 and (target.events == 0 or source.first_time_s < target.first_time_s):
        target.first_time_s = source.first_time_s
    target.events += source.events
    target.carts += source.carts
    target.purchases += source.purchases
    target.last_time_ms = latest_ms


@compiled
def _merge_sessions(target: StateRecord, source: StateRecord) -> None:
    """Make one of the latest sessions if they touch, else keep the later one as the session that goes on."""
    if source.events == 0:
        return
    if target.events == 0:
        target.sessions, target.session_events = source.sessions, source.session_events
        target.session_start_s = source.session_start_s
        return
    apart_ms = max(
        np.int64(target.session_start_s) * 1000 - np.int64(source.last_time_ms),
        np.int64(source.session_start_s) * 1000 - np.int64(target.last_time_ms),
    )
    target.sessions += source.sessions
    if apart_ms <= SESSION_GAP_MS:
        target.sessions -= 1
        target.session_events += source.session_events
        target.session_start_s = min(target.session_start_s, source.session_start_s)
    elif source.last_time_ms > target.last_time_ms:
        target.session_events, target.session_start_s = source.session_events, source.session_start_s


@compiled
def _read_times(state: StateRecord, times_s: npt.NDArray[np.int64]) -> None:
    """Write when the events of the ring happened, the latest first, and last when the one before them did."""
    time_s = np.int64(state.last_time_ms) // 1000
    for back in range(RING_EVENTS + 1):
        times_s[back] = time_s
        if back < min(state.events, RING_EVENTS):
            slot = (np.int64(state.events) - 1 - back) % RING_EVENTS
            time_s -= gap_seconds(np.int64(state.ring_events[slot]) >> GAP_SHIFT)


@compiled
def _merge_ring(
    target: StateRecord,
    both: tuple[StateRecord, StateRecord],
    times_s: npt.NDArray[np.int64],
    origins: npt.NDArray[np.int64],
) -> None:
    """Join the rings and the words, from the latest event to the oldest."""
    counts = (np.int64(both[0].events), np.int64(both[1].events))
    items, categories = np.zeros(RING_EVENTS, np.uint16), np.zeros(RING_EVENTS, np.uint16)
    events, words = np.zeros(RING_EVENTS, np.uint32), np.zeros((REMEMBERED_TEXTS, TOKENS), np.uint16)
    taken, texts = np.zeros(2, np.int64), np.zeros(2, np.int64)
    origins[:] = NOWHERE
    total = int(counts[0] + counts[1])
    for back in range(min(total, RING_EVENTS)):
        of = _later(counts, taken, times_s)
        state, time_s = both[of], times_s[of, taken[of]]
        slot, own_slot = (total - 1 - back) % RING_EVENTS, (counts[of] - 1 - taken[of]) % RING_EVENTS
        packed = np.int64(state.ring_events[own_slot])
        origins[slot] = own_slot + of * RING_EVENTS
        items[slot], categories[slot] = state.ring_items[own_slot], state.ring_categories[own_slot]
        if packed & HAS_WORDS:
            _take_words(words, texts, state, of)
        taken[of] += 1
        before = _later(counts, taken, times_s)
        gap_s = time_s - times_s[before, taken[before]] if before != NOWHERE else np.int64(0)
        events[slot] = (packed & _WITHOUT_GAP) | (gap_code(gap_s) << GAP_SHIFT)
    for of in range(2):  # of events that no ring holds any more
        while texts[of] < REMEMBERED_TEXTS and texts[0] + texts[1] < REMEMBERED_TEXTS:
            _take_words(words, texts, both[of], of)
    target.ring_items[:], target.ring_categories[:], target.ring_events[:] = items, categories, events
    target.words[:] = words


@compiled
def _later(counts: tuple[np.int64, np.int64], taken: npt.NDArray[np.int64], times_s: npt.NDArray[np.int64]) -> int:
    """Return which of both has the latest event that is not taken yet; NOWHERE if none is left.

    Of each, the first RING_EVENTS + 1 events have a time, and no more are asked for.
    """
    if taken[0] >= counts[0]:
        return 1 if taken[1] < counts[1] else NOWHERE
    if taken[1] >= counts[1]:
        return 0
    return 0 if times_s[0, taken[0]] >= times_s[1, taken[1]] else 1


@compiled
def _take_words(words: npt.NDArray[np.uint16], texts: npt.NDArray[np.int64], state: StateRecord, of: int) -> None:
    """Put the latest words of a state that are not taken yet behind those that are, if there is room."""
    place = texts[0] + texts[1]
    if place < REMEMBERED_TEXTS and texts[of] < REMEMBERED_TEXTS:
        words[place] = state.words[texts[of]]
    texts[of] += 1


@compiled
def _merge_ids(target: StateRecord, both: tuple[StateRecord, StateRecord], times_s: npt.NDArray[np.int64]) -> None:
    """Join the remembered ids, from the latest event to the oldest, and note until when events are forgotten."""
    counts = (np.int64(both[0].events), np.int64(both[1].events))
    total = int(counts[0] + counts[1])
    ids, ends = np.zeros(REMEMBERED_IDS, np.uint32), np.zeros(REMEMBERED_IDS, np.uint8)
    latest_s, taken = np.zeros(ID_BLOCKS, np.uint32), np.zeros(2, np.int64)
    left = np.array([_remembered(int(counts[0])), _remembered(int(counts[1]))])
    forgotten_s, next_s = np.uint32(0), np.empty(2, np.int64)
    for back in range(left[0] + left[1]):
        for of in range(2):
            next_s[of] = _id_time(both[of], counts[of], taken[of], times_s[of]) if taken[of] < left[of] else NOWHERE
        of = 0 if next_s[0] >= next_s[1] else 1
        own_slot = (counts[of] - 1 - taken[of]) % REMEMBERED_IDS
        known_s = np.uint32(min(next_s[of], both[of].block_latest_s[own_slot // IDS_PER_BLOCK]))
        taken[of] += 1
        if back >= _remembered(total):
            forgotten_s = max(forgotten_s, known_s)
            continue
        slot = (total - 1 - back) % REMEMBERED_IDS
        ids[slot] = both[of].ids[own_slot]
        ends[slot] = (both[of].id_ends[own_slot // 2] >> (own_slot % 2 * 4)) & 15
        latest_s[slot // IDS_PER_BLOCK] = max(latest_s[slot // IDS_PER_BLOCK], known_s)
    target.forgotten_s = max(target.forgotten_s, both[1].forgotten_s, min(forgotten_s, latest_s.max()))
    target.ids[:], target.block_latest_s[:] = ids, latest_s
    for slot in range(0, REMEMBERED_IDS, 2):
        target.id_ends[slot // 2] = ends[slot] | ends[slot + 1] << 4


@compiled
def begin_rings_anew(targets: npt.NDArray[np.void], sources: npt.NDArray[np.void]) -> None:
    """Give `targets` `(states,)`, which have no events, the remembered ids of `sources` `(states,)`.

    The latest come last in the ring, so that the next events take the places of the oldest ones.
    """
    for number in range(len(targets)):
        target, source = targets[number], sources[number]
        target.block_latest_s[:], target.id_ends[:] = 0, 0
        for slot in range(REMEMBERED_IDS):
            own_slot, block = (np.int64(source.events) + slot) % REMEMBERED_IDS, slot // IDS_PER_BLOCK
            if source.ids[own_slot]:  # else no id stands there, or one in 4 billion
                known_s = source.block_latest_s[own_slot // IDS_PER_BLOCK]
                target.block_latest_s[block] = max(target.block_latest_s[block], known_s)
            target.ids[slot] = source.ids[own_slot]
            end = (np.int64(source.id_ends[own_slot // 2]) >> own_slot % 2 * 4) & 15
            target.id_ends[slot // 2] = np.int64(target.id_ends[slot // 2]) | end << slot % 2 * 4


@compiled
def _remembered(events: int) -> int:
    """Return how many ids a state of so many events remembers: what fills the latest block, and those before it."""
    if events <= REMEMBERED_IDS:
        return events
    return (events - 1) % IDS_PER_BLOCK + 1 + REMEMBERED_IDS - IDS_PER_BLOCK


@compiled
def _id_time(state: StateRecord, count: np.int64, back: np.int64, times_s: npt.NDArray[np.int64]) -> int:
    """Return when the event happened that came `back` events before the last one, or an upper bound of that."""
    if back < RING_EVENTS:
        return int(times_s[back])
    block = (count - 1 - back) % REMEMBERED_IDS // IDS_PER_BLOCK
    return min(int(times_s[RING_EVENTS]), int(state.block_latest_s[block]))


@compiled
def plan_waves(  # noqa: PLR0913, PLR0917 - the columns of a batch, what is known of users, and the columns of the result
    users: npt.NDArray[np.int64],
    anonymous: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
    identifies: npt.NDArray[np.bool_],
    times_ms: npt.NDArray[np.int64],
    latest_ms: npt.NDArray[np.int64],
    claimed: npt.NDArray[np.int64],
    again_ms: int,
    waves: npt.NDArray[np.int64],
    merge_after: npt.NDArray[np.int64],
) -> int:
    """Divide the events of a batch into waves, so that all of one can be appended before the merges between them.

    `users` and, where an event names one, `anonymous` (-1 else) are indices of states; `codes` are the hashes of the
    anonymous ids. `latest_ms` and `claimed` `(states,)` begin as the states have them and are used up. Fills `waves`,
    and `merge_after` with the wave after which an event's claim, if it makes one, is merged; returns how many waves
    there are. Two events of one state, or of two of which one may claim the other, are in their order.
    """
    next_wave, count = np.zeros(len(latest_ms), np.int64), np.int64(0)
    for event in range(len(users)):
        user, other = users[event], anonymous[event]
        waves[event] = merge_after[event] = next_wave[user]
        is_apart = times_ms[event] - latest_ms[user] > again_ms
        latest_ms[user] = max(latest_ms[user], times_ms[event])
        if other >= 0 and (identifies[event] or is_apart or claimed[user] != codes[event]):
            claimed[user] = codes[event]
            merge_after[event] = max(next_wave[user], next_wave[other])
            next_wave[user] = next_wave[other] = merge_after[event] + 1
        count = max(count, merge_after[event] + 1)
    return int(count)
