"""Shoppers who are not known from the start: anonymous visits, log-ins, shared devices, identities that come late.

What the shoppers do is not changed, only under which id it arrives, and events of type `identify` are added. So the
true propensities stay those of whoever knows which person acts; of an `identify` they are those of a neighbour.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec.structs import replace

from model.events import IDENTIFY, Event
from model.horizons import SESSION_GAP_MS

ANONYMOUS_VISITS: Final = 0.55
"""Visits that begin without a log-in."""
LOGIN_PER_EVENT: Final = 0.12
"""How likely a log-in comes before each event of such a visit; before a checkout or purchase it always does."""
SHARED_DEVICES: Final = 0.05
"""Shoppers who use the device of another one, too."""
OTHER_DEVICE_VISITS: Final = 0.3
"""Their visits on it."""
LATE_IDENTIFIES: Final = 0.05
LATE_EVENTS: Final = 20
"""At most so many events of all shoppers arrive before an identify that is late."""
_NEEDS_LOGIN: Final = frozenset({"checkout", "purchase", "review", "refund"})
_REPEATS_WITHIN: Final = 20_000


@dataclass(slots=True)
class _Visit:
    last: Event
    device: str
    is_known: bool


def with_logins(events: Iterator[Event], seed: int) -> Iterator[Event]:
    """Yield events under the ids by which their shoppers are known at the time, with `identify` events between them."""
    random, visits = np.random.default_rng([seed, 3]), dict[str, _Visit]()
    written = dict[str, Event]()
    order, late = deque[str](), list[tuple[int, Event]]()
    for number, event in enumerate(events):
        while late and late[0][0] <= number:
            yield late.pop(0)[1]
        if event.event_id in written:  # a repeat
            yield written[event.event_id]
            continue
        visit = _visit_of(event, visits, random)
        if not visit.is_known and (event.type in _NEEDS_LOGIN or random.random() < LOGIN_PER_EVENT):
            visit.is_known = True
            login = _login(visit, event)
            if random.random() < LATE_IDENTIFIES:
                late.append((number + int(random.integers(1, LATE_EVENTS)), login))
                late.sort(key=lambda each: each[0])
            else:
                yield login
        ids = {"anonymous_id": visit.device} if visit.is_known else {"user_id": visit.device}
        visit.last = event
        written[event.event_id] = seen = replace(event, **ids)
        order.append(event.event_id)
        if len(order) > _REPEATS_WITHIN:
            del written[order.popleft()]
        yield seen
    yield from (login for _, login in late)


def _visit_of(event: Event, visits: dict[str, _Visit], random: np.random.Generator) -> _Visit:
    """Return the visit that an event belongs to, a new one after a pause."""
    visit = visits.get(event.user_id)
    if visit is None or event.ts - visit.last.ts > SESSION_GAP_MS:
        is_known = visit is not None and random.random() >= ANONYMOUS_VISITS
        visit = visits[event.user_id] = _Visit(event, _device_of(event.user_id, random), is_known)
    return visit


def _login(visit: _Visit, event: Event) -> Event:
    """Return the log-in before an event."""
    nothing = dict.fromkeys(("item_id", "category", "price", "quantity", "rating", "text"))
    ids = {"event_id": f"{event.event_id}-login", "anonymous_id": visit.device}
    return replace(visit.last, type=IDENTIFY, ts=event.ts, context=event.context, **ids, **nothing)


def _device_of(user_id: str, random: np.random.Generator) -> str:
    """Return the device of a visit; shoppers whose number is a multiple of 1 / SHARED_DEVICES use their neighbour's."""
    number = int(user_id.rpartition("-")[2])
    is_shared = number % round(1 / SHARED_DEVICES) == 0 and random.random() < OTHER_DEVICE_VISITS
    return f"device-{number + is_shared:06d}"
