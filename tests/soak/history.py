"""A random history of a shop: events, log-ins, impressions, repeats, and records that are none of these."""

import json
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import msgspec
from msgspec.structs import replace

from model.events import IDENTIFY, IMPRESSION, Event
from model.items.item import Item

START_MS = 1_700_000_000_000
REPEATED_AMONG = 20
"""Of a shopper's last events, fewer than a state remembers: what is sent again is known again."""
CATALOGUE = [
    Item(f"item-{number}", title=f"thing {number}", category=f"category-{number % 6}", price=9.5)
    for number in range(40)
]
SHARED_BY = 4
"""So many shoppers are anonymous on one device, now and then."""
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
    is_refused: bool = False
    """Whether it was sent after its shopper was forgotten."""
    is_settled: bool = False
    """Whether all that was claimed before it had been merged when it was sent."""
    partition: int = -1
    offset: int = -1
    sent_ms: int = -1
    """Kafka's time of it."""


@dataclass
class History:
    """Shopping without end; each shopper's events are in order of time but for some seconds.

    Half of the shoppers begin on a device that knows no user, and log in, out and in again.
    """

    rng: Random
    name: str
    users: int = 60
    bad_share: float = 0.04
    repeated_share: float = 0.04
    shown_share: float = 0.03
    most_log_ins: int = 3
    """Of one shopper; 0: nobody is anonymous."""
    names_devices: bool = True
    """Whether users name devices, which claims them."""
    _number: int = 0
    _now_ms: int = START_MS
    _last: dict[str, deque[Event]] = field(default_factory=dict)
    _devices: dict[int, str] = field(default_factory=dict)
    """Of shoppers who are not logged in."""
    _to_identify: dict[int, str] = field(default_factory=dict)
    """The devices of users who have logged in, which is still to be said."""
    _log_ins: Counter[int] = field(default_factory=Counter)

    def take(self, count: int) -> list[Sent]:
        return [self._next() for _ in range(count)]

    def events(self, count: int) -> list[Sent]:
        """Return records that are all events, and new ones."""
        return [self._sent(self._new_event()) for _ in range(count)]

    @property
    def user_ids(self) -> list[str]:
        """All under which there may be events."""
        return [self._user(number) for number in range(self.users)]

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
        shopper = min(self.rng.randrange(self.users), self.rng.randrange(self.users))  # some are busy
        if (event := self._login(shopper)) is None:
            event = self._event(self._id(shopper))
            if self.rng.random() < self.shown_share:  # its repeat would be another one
                shown = [item.item_id for item in self.rng.sample(CATALOGUE, 3)]
                return Event(event.event_id, event.user_id, IMPRESSION, event.ts, items=shown, placement="home")
        self._last.setdefault(event.user_id, deque(maxlen=REPEATED_AMONG)).append(event)
        return event

    def _event(self, user: str) -> Event:
        rng = self.rng
        self._number += 1
        self._now_ms += rng.randrange(500, 20_000) if rng.random() > 0.002 else 3_600_000
        return Event(
            event_id=f"{self.name}-{self._number}",
            user_id=user,
            type=rng.choices(list(TYPES), list(TYPES.values()))[0],
            ts=self._now_ms - rng.randrange(2000),
            item_id=f"item-{rng.randrange(len(CATALOGUE))}",
            category=f"category-{rng.randrange(6)}",
            price=float(rng.randrange(1, 200)) if rng.random() < 0.8 else None,
            text="fits well, came late" if rng.random() < 0.02 else None,
        )

    def _user(self, shopper: int) -> str:
        return f"{self.name}-user-{shopper}"

    def _id(self, shopper: int) -> str:
        """Return under which id a shopper acts now; at first, and after each log-out, one half under a device's."""
        if shopper not in self._log_ins or (self.rng.random() < 0.08 and self._log_ins[shopper] < self.most_log_ins):
            self._log_ins.setdefault(shopper, 0)
            if self._log_ins[shopper] < self.most_log_ins and self.rng.random() < 0.5:
                is_shared = self.rng.random() < 0.3
                self._devices[shopper] = f"{self.name}-device-{shopper // SHARED_BY if is_shared else shopper}"
        return self._devices.get(shopper) or self._user(shopper)

    def _login(self, shopper: int) -> Event | None:
        """Return an event that claims a device, None if there is none to be claimed now."""
        if not self.names_devices or self.rng.random() > 0.25:
            return None
        device = self._to_identify.pop(shopper, "")
        if not device and (device := self._devices.pop(shopper, "")):
            self._log_ins[shopper] += 1
            if self.rng.random() < 0.2:  # the site says only later who it was
                self._to_identify[shopper] = device
                return None
        if not device:
            return None
        event = replace(self._event(self._user(shopper)), anonymous_id=device)
        if self.rng.random() < 0.3:  # any event that has both ids
            return event
        return Event(event.event_id, event.user_id, IDENTIFY, event.ts, anonymous_id=device)

    def forget(self) -> None:
        """Repeat nothing of what has been sent so far."""
        self._last.clear()

    def bad(self) -> Sent:
        """Return a record that is no event."""
        event = self._event(self._user(self.rng.randrange(self.users)))
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
