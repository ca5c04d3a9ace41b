"""Events of made-up shoppers, the same for the same seed."""

from random import Random

import numpy as np

from model.batch import batch_of
from model.core.append import Source
from model.events import EVENT_TYPES, Event

START_MS = 1_700_000_000_000
USERS = 6


def shoppers_events(count: int, seed: int = 1, users: int = USERS) -> list[Event]:
    random, time_ms, events = Random(seed), START_MS, []
    for number in range(count):
        time_ms += random.choice([0, 700, 20_000, 1_900_000])
        events.append(
            Event(
                event_id=f"e{number}",
                user_id=str(random.randrange(users)),
                type=random.choice(EVENT_TYPES),
                ts=time_ms,
                item_id=random.choice([None, "i1", "i2", "i3"]),
                category=random.choice([None, "c1", "c2"]),
                price=random.choice([None, 0.0, 9.99, 250.0]),
                text=random.choice([None, None, "red shoes", "size 42, delivery tomorrow please"]),
            )
        )
    return events


def columns(events: list[Event], first_offset: int = 0):
    """What `append_events` and `begin` take beside the states: the users' indices, the batch, its source."""
    users = np.array([int(event.user_id) for event in events], np.int64)
    return users, batch_of(events), Source(1, first_offset + np.arange(len(events)))
