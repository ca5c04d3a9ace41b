"""Small journeys written by hand."""

from itertools import count

import numpy as np

from model.events import Event
from model.items.journeys import JourneyReader
from model.shop import NO_SHOP

START_MS = 1_767_571_200_000
MINUTE_MS = 60_000
DAY = 24 * 60


def visit(user, minute, *steps):
    """Return events a minute apart: `"a"` is a view of item a, `"cart a"` an event of that type, `"search"` without."""
    ids = count()
    events = []
    for step in steps:
        kind, _, item = step.rpartition(" ")
        if not kind and item == "search":
            kind, item = "search", None
        number = next(ids)
        events.append(
            Event(
                event_id=f"{user}-{minute}-{number}",
                user_id=user,
                type=kind or "view",
                ts=START_MS + (minute + number) * MINUTE_MS,
                item_id=item,
                category=None if item is None else item[0].upper(),
            )
        )
    return events


def read_journeys(rows, item_ids=(), *, shop=NO_SHOP):
    """Read a history's rows as training does; bad ones are left out."""
    reader = JourneyReader(item_ids, shop=shop)
    for row in rows:
        if isinstance(row, Event):
            reader.append(row)
    return reader.journeys()


def journeys_of(*visits, item_ids=()):
    """Read visits as a shop's events, in order of time."""
    return read_journeys(sorted((event for one in visits for event in one), key=lambda event: event.ts), item_ids)


def at(minute):
    return START_MS + minute * MINUTE_MS


def named(journeys, items):
    return [journeys.item_ids[item] for item in items]


def likeliest(scorer, queries):
    """Return the recommended items of each query, the first first."""
    scores = scorer.scores(queries)
    return [
        [queries.journeys.item_ids[item] for item in np.argsort(-row, kind="stable") if row[item] > -np.inf]
        for row in scores
    ]
