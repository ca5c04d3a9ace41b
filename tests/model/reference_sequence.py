"""The sequence state spelled out: one shopper, one event at a time, lists and loops."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from model.batch import event_hash, id_code
from model.core.features import NUMERIC_FEATURES
from model.events import EVENT_TYPES, Event
from model.sequence import RECENT_DECAY_SECONDS, RECENT_GROUPS
from model.text import token_codes

HALF_HOUR_MS = 30 * 60 * 1000
DAY_MS = 86_400_000
REMEMBERED = 64
BLOCK = 16
RING = 32
WORDY = 4


class Happened(NamedTuple):
    """What was so when an event happened."""

    time_ms: int
    gap_ms: int
    events: int
    sessions: int
    age_ms: int
    totals: list[int]
    session_events: int
    session_age_ms: int
    recent: list[list[float]]
    since_group_s: list[float]
    previous: list[Event]


@dataclass
class Shopper:
    """One user's memory."""

    source: int = 0
    offset: int = -1
    events: int = 0
    last_time_ms: int = 0
    session_events: int = 0
    session_start_s: int = 0
    sessions: int = 0
    first_time_s: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    forgotten_s: int = 0
    accepted: list[tuple[str, int]] = field(default_factory=list)
    """The id and the time in seconds of every accepted event."""
    ring: list[Event] = field(default_factory=list)
    last_seen_s: dict[str, int] = field(default_factory=dict)
    recent: dict[tuple[str, int], float] = field(default_factory=dict)

    def take(self, event: Event, source: int, offset: int) -> Happened | str:
        """Append an event, or say why not."""
        if source == self.source and offset <= self.offset:
            return "already applied"
        self.source, self.offset = source, offset
        if event.event_id in self.ids:
            return "duplicate"
        if event.ts // 1000 <= self.forgotten_s and event.ts < self.last_time_ms:
            return "late"
        self._remember(event)
        time_ms = max(event.ts, self.last_time_ms)
        gap_ms = time_ms - self.last_time_ms if self.events else -1
        self._continue_session(time_ms, gap_ms)
        group = {"checkout": "cart"}.get(event.type, event.type)
        since = [time_ms // 1000 - self.last_seen_s[g] if g in self.last_seen_s else math.nan for g in RECENT_GROUPS]
        self._count(group, time_ms, gap_ms)
        self.totals[group] = self.totals.get(group, 0) + 1
        self.first_time_s = self.first_time_s if self.events else time_ms // 1000
        self.events += 1
        self.last_time_ms = time_ms
        previous = self.ring
        as_stored = msgspec.structs.replace(event, ts=time_ms)
        self.ring = [*self.ring, as_stored][-RING:]
        recent = [[self.recent[g, decay] for decay in RECENT_DECAY_SECONDS] for g in RECENT_GROUPS]
        age_ms = time_ms - self.session_start_s * 1000
        return Happened(
            time_ms=time_ms,
            gap_ms=gap_ms,
            events=self.events,
            sessions=self.sessions,
            age_ms=time_ms - self.first_time_s * 1000,
            totals=[self.totals.get(g, 0) for g in RECENT_GROUPS],
            session_events=self.session_events,
            session_age_ms=age_ms,
            recent=recent,
            since_group_s=since,
            previous=previous,
        )

    @property
    def ids(self) -> list[str]:
        return [name for name, _ in self.accepted[-REMEMBERED:]]

    def _remember(self, event: Event) -> None:
        """Append the event; ids are forgotten one at a time, what is late is known 16 at a time."""
        kept = self.accepted[-REMEMBERED:]
        if len(kept) == REMEMBERED and len(self.accepted) % BLOCK == 0:
            latest, latest_after = (max(time_s for _, time_s in some) for some in (kept[:BLOCK], kept[BLOCK:]))
            self.forgotten_s = max(self.forgotten_s, min(latest, latest_after))
        self.accepted.append((event.event_id, event.ts // 1000))

    def _continue_session(self, time_ms: int, gap_ms: int) -> None:
        if gap_ms == -1 or gap_ms > HALF_HOUR_MS:
            self.session_events, self.session_start_s = 0, time_ms // 1000
            self.sessions += 1
        self.session_events += 1

    def _count(self, group: str, time_ms: int, gap_ms: int) -> None:
        for name in RECENT_GROUPS:
            for decay in RECENT_DECAY_SECONDS:
                faded = self.recent.get((name, decay), 0.0) * math.exp(-max(gap_ms, 0) / 1000 / decay)
                self.recent[name, decay] = faded + (name == group)
        if group in RECENT_GROUPS:
            self.last_seen_s[group] = time_ms // 1000


def features_of(event: Event, happened: Happened) -> dict[str, float]:
    """Return the numeric features of an event by name, as their definitions say; of its category nothing is known."""
    item, category = id_code(event.item_id), id_code(event.category)
    times_s = times_as_stored([each.ts // 1000 for each in happened.previous])
    earlier = list(zip(happened.previous, times_s, strict=True))
    same_item = [(each, at_s) for each, at_s in earlier if item and id_code(each.item_id) == item]
    same_category = [(each, at_s) for each, at_s in earlier if category and id_code(each.category) == category]
    in_session = earlier[max(len(earlier) - happened.session_events + 1, 0) :]
    items = [id_code(each.item_id) for each in happened.previous if each.item_id]
    day = math.tau * (happened.time_ms % DAY_MS) / DAY_MS
    log_price = math.nan if event.price is None else math.log1p(event.price)
    purchases, carts = (happened.totals[RECENT_GROUPS.index(group)] for group in ("purchase", "cart"))
    days = happened.age_ms / DAY_MS

    def since(found, never: float) -> float:
        return math.log1p(max(happened.time_ms / 1000 - found[-1][1], 0)) / 10 if found else never

    def of(found, *types: str):
        return [(each, at_s) for each, at_s in found if each.type in types]

    def count(found) -> float:
        return math.log1p(len(found)) / 3

    def among(found):
        return [one for one in found if any(one[0] is each for each, _ in in_session)]

    values = {
        "is_first_event": happened.gap_ms < 0,
        "is_first_of_session": happened.gap_ms < 0 or happened.gap_ms > HALF_HOUR_MS,
        "log_gap": math.log1p(max(happened.gap_ms, 0) / 1000) / 10,
        "log_session_age": math.log1p(max(happened.session_age_ms, 0) / 1000) / 10,
        "log_session_events": math.log1p(happened.session_events) / 3,
        "has_price": event.price is not None,
        "log_price": 0.0 if event.price is None else min(max((log_price - 3.5) / 1.5, -3.0), 6.0),
        "hour_sin": math.sin(day),
        "hour_cos": math.cos(day),
        **{
            f"recent_{group}_{decay}s": math.log1p(number) / 3
            for group, numbers in zip(RECENT_GROUPS, happened.recent, strict=True)
            for decay, number in zip(RECENT_DECAY_SECONDS, numbers, strict=True)
        },
        **{
            f"since_{group}": 0.0 if math.isnan(seconds) else math.log1p(max(seconds, 0)) / 10
            for group, seconds in zip(RECENT_GROUPS, happened.since_group_s, strict=True)
        },
        "log_same_item": count(same_item),
        "same_item_carted": bool(of(same_item, "cart", "checkout")),
        "same_item_favorited": bool(of(same_item, "favorite")),
        "same_item_purchased": bool(of(same_item, "purchase")),
        "log_since_same_item": since(same_item, 0.0),
        "log_same_category": count(same_category),
        "log_distinct_items": math.log1p(len(set(items)) - (len(items) == RING)) / 3,
        "since_same_item": since(same_item, 1.5),
        "item_purchases": count(of(same_item, "purchase")),
        "item_session_events": count(among(same_item)),
        "item_of_earlier_day": any(at_s // 86_400 < happened.time_ms // DAY_MS for _, at_s in same_item),
        "since_same_category": since(same_category, 1.5),
        "since_category_cart": since(of(same_category, "cart", "checkout"), 1.5),
        "category_purchases": count(of(same_category, "purchase")),
        "category_carts": count(of(same_category, "cart", "checkout")),
        "category_favorites": count(of(same_category, "favorite")),
        "category_session_events": count(among(same_category)),
        "category_session_share": len(among(same_category)) / max(len(in_session), 1),
        "purchases_a_session": purchases / (happened.sessions + 2),
        "carts_a_session": carts / (happened.sessions + 2),
        "sessions_a_day": min(happened.sessions / (days + 2), 5.0),
        "purchases_a_day": min(purchases / (days + 7), 5.0),
        "events_a_session": min(happened.events / (10 * happened.sessions), 3.0),
        "category_rate": 0.0,
        "category_events": 0.0,
    }
    assert list(values) == list(NUMERIC_FEATURES)
    return {name: float(value) for name, value in values.items()}


def category_rates(events: list[Event]) -> list[tuple[float, float]]:
    """Return, for each of some accepted events, what those before it say of its category."""
    found = []
    for number, event in enumerate(events):
        before = events[:number]
        overall = (sum(each.type == "purchase" for each in before) + 1) / (len(before) + 50)
        same = [each for each in before if event.category and each.category == event.category]
        bought = sum(each.type == "purchase" for each in same)
        found.append((math.log((bought + 25 * overall) / (len(same) + 25)), 0.2 * math.log1p(len(same))))
    return found


def gap_as_stored(gap_s: int) -> int:
    """Round a gap to 15 significant bits, the larger if two are equally near; the longest is half of 2**30 seconds."""
    unit = 2 ** max(gap_s.bit_length() - 15, 0)
    return min((gap_s + unit // 2) // unit * unit, (2**15 - 1) * 2**14)


def times_as_stored(times_s: list[int]) -> list[int]:
    """Return the times of a ring's events, oldest first: the last one is exact, the others are gaps before it."""
    stored = times_s[-1:]
    for earlier, later in zip(reversed(times_s[:-1]), reversed(times_s[1:]), strict=True):
        stored.insert(0, stored[0] - gap_as_stored(later - earlier))
    return stored


def ring_columns(ring: list[Event]) -> dict[str, list[Any]]:
    """Return a ring's events as they are read from a state, oldest first."""
    wordy = [event for event in ring if token_codes([event.text]).any()][-WORDY:]
    return {
        "time_s": times_as_stored([event.ts // 1000 for event in ring]),
        "item": [id_code(event.item_id) for event in ring],
        "category": [id_code(event.category) for event in ring],
        "log_price": [
            -1 if event.price is None else min(math.floor(math.log1p(event.price) * 40 + 0.5), 510) / 40
            for event in ring
        ],
        "tokens": token_codes(
            [event.text if any(event is each for each in wordy) else None for event in ring]
        ).tolist(),
        "type": [EVENT_TYPES.index(event.type) for event in ring],
    }


def hashes(ids: list[str]) -> list[int]:
    """Return what is kept of the hashes of remembered ids, oldest first."""
    return [int(f"{event_hash(event_id):016x}"[:9], 16) for event_id in ids]
