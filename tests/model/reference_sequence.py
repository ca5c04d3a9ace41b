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
    """Return the numeric features of an event by name, as their definitions say."""
    item, category = id_code(event.item_id), id_code(event.category)
    same_item = [each for each in happened.previous if item and id_code(each.item_id) == item]
    same_category = [each for each in happened.previous if category and id_code(each.category) == category]
    items = [id_code(each.item_id) for each in happened.previous if each.item_id]
    day, week = (math.tau * (happened.time_ms % span) / span for span in (DAY_MS, 7 * DAY_MS))
    times_s = times_as_stored([each.ts // 1000 for each in happened.previous])
    since_same_s = [
        happened.time_ms / 1000 - time_s
        for each, time_s in zip(happened.previous, times_s, strict=True)
        if any(each is same for same in same_item)
    ]
    log_price = math.nan if event.price is None else math.log1p(event.price)
    purchases, carts = (happened.totals[RECENT_GROUPS.index(group)] for group in ("purchase", "cart"))
    days = happened.age_ms / DAY_MS
    values = [
        *(happened.gap_ms < 0, happened.gap_ms < 0 or happened.gap_ms > HALF_HOUR_MS),
        *(math.log1p(max(ms, 0) / 1000) / 10 for ms in (happened.gap_ms, happened.session_age_ms)),
        *(math.log1p(count) / 3 for count in (happened.session_events, min(happened.events, 1000))),
        event.price is not None,
        0.0 if event.price is None else min(max((log_price - 3.5) / 1.5, -3.0), 6.0),
        *(math.sin(day), math.cos(day), math.sin(week), math.cos(week)),
        *(math.log1p(count) / 3 for counts in happened.recent for count in counts),
        *(0.0 if math.isnan(seconds) else math.log1p(max(seconds, 0)) / 10 for seconds in happened.since_group_s),
        *(math.isnan(seconds) for seconds in happened.since_group_s),
        math.log1p(len(same_item)) / 3,
        *(
            any(each.type in types for each in same_item)
            for types in (("cart", "checkout"), ("favorite",), ("purchase",))
        ),
        math.log1p(max(min(since_same_s), 0)) / 10 if since_same_s else 0.0,
        math.log1p(len(same_category)) / 3,
        math.log1p(len(set(items)) - (len(items) == RING)) / 3,
        math.log1p(purchases) / 3,
        purchases / (happened.sessions + 2),
        carts / (happened.sessions + 2),
        math.log1p(happened.sessions) / 5,
        min(happened.sessions / (days + 2), 5.0),
        math.log1p(days) / 4,
        min(purchases / (days + 7), 5.0),
        min(happened.events / (10 * happened.sessions), 3.0),
    ]
    return dict(zip(NUMERIC_FEATURES, map(float, values), strict=True))


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
