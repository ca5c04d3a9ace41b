"""A random history of a shop: events, repeats of events, records that are neither, and what must become of each."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import msgspec

from model.events import Event

START_MS = 1_700_000_000_000
REPEATED_AMONG = 20
"""Of a shopper's last events, fewer than a state remembers: what is sent again is known again."""
TYPES = {"view": 70, "search": 10, "favorite": 5, "cart": 10, "purchase": 3, "review": 2}


@dataclass
class Sent:
    """One record for the events topic, and where Kafka put it.

    `reason` is that of its dead letter, empty if it is an event or the repeat of one. `aborted`: its transaction was.
    """

    key: bytes | None
    value: bytes | None
    event: Event | None = None
    reason: str = ""
    aborted: bool = False
    partition: int = -1
    offset: int = -1


@dataclass
class History:
    """Shopping without end; each shopper's events are in order of time but for some seconds."""

    rng: Random
    name: str
    users: int = 60
    bad_share: float = 0.04
    repeated_share: float = 0.04
    _number: int = 0
    _now_ms: int = START_MS
    _last: dict[str, deque[Event]] = field(default_factory=dict)

    def take(self, count: int) -> list[Sent]:
        return [self._next() for _ in range(count)]

    def events(self, count: int) -> list[Sent]:
        """Return records that are all events, and new ones."""
        return [self._sent(self._new_event()) for _ in range(count)]

    def _next(self) -> Sent:
        drawn = self.rng.random()
        if drawn < self.bad_share:
            return self.bad()
        known = [last for last in self._last.values() if last]
        if drawn < self.bad_share + self.repeated_share and known:
            return self._sent(self.rng.choice(self.rng.choice(known)))
        return self._sent(self._new_event())

    def _sent(self, event: Event) -> Sent:
        return Sent(event.user_id.encode(), msgspec.json.encode(event), event)

    def _new_event(self) -> Event:
        rng = self.rng
        self._number += 1
        self._now_ms += rng.randrange(500, 20_000) if rng.random() > 0.002 else 3_600_000
        user = f"{self.name}-user-{min(rng.randrange(self.users), rng.randrange(self.users))}"  # some are busy
        event = Event(
            event_id=f"{self.name}-{self._number}",
            user_id=user,
            type=rng.choices(list(TYPES), list(TYPES.values()))[0],
            ts=self._now_ms - rng.randrange(2000),
            item_id=f"item-{rng.randrange(40)}",
            category=f"category-{rng.randrange(6)}",
            price=float(rng.randrange(1, 200)) if rng.random() < 0.8 else None,
            text="fits well, came late" if rng.random() < 0.02 else None,
        )
        self._last.setdefault(user, deque(maxlen=REPEATED_AMONG)).append(event)
        return event

    def forget(self) -> None:
        """Repeat nothing of what has been sent so far."""
        self._last.clear()

    def bad(self) -> Sent:
        """Return a record that is no event."""
        event = self._new_event()
        self._last[event.user_id].remove(event)  # there is nothing to repeat
        key, reason, value = self.rng.choice(list(_spoilt(event)))
        return Sent(key, value, reason=reason)


def _spoilt(event: Event) -> Iterator[tuple[bytes | None, str, bytes | None]]:
    """Yield key, reason and value of everything that an event can be spoilt to."""
    key, fields = event.user_id.encode(), msgspec.to_builtins(event)

    def but(**changes: object) -> bytes:
        return json.dumps(fields | changes).encode()

    whole = but()
    yield key, "json", whole[:-3]
    yield key, "json", whole + b"}"
    yield key, "price", but(price=float("nan"))
    yield key, "empty", b""
    yield key, "tombstone", None
    yield key, "object", b"[1, 2]"
    yield key, "encoding", b"\xff" + whole
    yield key, "nesting", b"[" * 5000
    yield key, "event_id", but(event_id="")
    yield key, "user_id", but(user_id=None)
    yield key, "type", but(type=7)
    yield key, "ts", but(ts=1_700_000_000)  # seconds
    yield key, "ts", but(ts="yesterday")
    yield key, "price", but(price=-1)
    yield b"somebody else", "key", whole
    yield None, "key", whole
