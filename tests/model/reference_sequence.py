"""The sequence state spelled out: one shopper, one event at a time, lists and loops."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from model.batch import event_hash, id_code
from model.events import EVENT_TYPES, Event
from model.sequence import RECENT_DECAY_SECONDS, RECENT_GROUPS
from model.text import TOKENS, token_codes

HALF_HOUR_MS = 30 * 60 * 1000
REMEMBERED = 64
RING = 32


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
    ids: list[str] = field(default_factory=list)
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
        self.ids = [*self.ids, event.event_id][-REMEMBERED:]
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


def ring_columns(ring: list[Event]) -> dict[str, list[int]]:
    """Return a ring as the columns that a state holds, empty slots first."""
    empty = [0] * (RING - len(ring))
    return {
        "time_s": empty + [event.ts // 1000 for event in ring],
        "item": empty + [id_code(event.item_id) for event in ring],
        "category": empty + [id_code(event.category) for event in ring],
        "tokens": [[0] * TOKENS for _ in empty] + token_codes([event.text for event in ring]).tolist(),
        "type": empty + [EVENT_TYPES.index(event.type) for event in ring],
    }


def hashes(ids: list[str]) -> list[int]:
    """Return remembered ids as a state holds them, empty slots first."""
    return [0] * (REMEMBERED - len(ids)) + [event_hash(event_id) for event_id in ids]
