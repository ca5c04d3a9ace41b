"""Journeys: which items shoppers viewed, put into the cart and bought, as columns."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import xxhash

from model.arrays import Booleans, Integers, Runs
from model.events import IMPRESSION, IMPRESSION_CODE, OTHER, TYPE_CODES, Event
from model.horizons import SESSION_GAP_MS
from model.shop import NO_SHOP, Shop
from service.errors import EvaluationError

NONE: Final = -1
"""The number of no item and of no category."""


@dataclass(frozen=True, slots=True)
class Journeys:
    """The events that have an item, sorted by shopper and within a shopper in order of arrival."""

    users: Integers
    """The shopper of each event `(events,)`, ascending."""
    starts: Integers
    """Each shopper's first event, followed by the number of events `(users + 1,)`."""
    rows: Integers
    """The position of each event in the input `(events,)`, from 0, without bad rows: as in `History.rows`."""
    time_ms: Integers
    """Event time, or that of a later event of the shopper that arrived before: it ascends within a shopper."""
    type_codes: npt.NDArray[np.uint8]
    """Positions in EVENT_TYPES."""
    items: npt.NDArray[np.int32]
    """Positions in `item_ids`."""
    sessions: Integers
    """Session number of each event, ascending over all shoppers; sessions without an item have a number, too."""
    categories: npt.NDArray[np.int32]
    """Positions in `category_names`, NONE for none."""
    item_ids: list[str] = field(repr=False)
    category_names: list[str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def session_starts(self) -> Integers:
        """The first event of each event's session `(events,)`."""
        runs = Runs.of(self.sessions)
        return runs.starts[runs.index]

    @property
    def session_ends(self) -> Integers:
        """The last event of each event's session `(events,)`."""
        runs = Runs.of(self.sessions)
        return runs.ends[runs.index]

    def of_type(self, name: str) -> Booleans:
        """Return which events are of a built-in type `(events,)`."""
        return np.asarray(self.type_codes == TYPE_CODES[name])

    def counts(self, chosen: Booleans | None = None) -> Integers:
        """Return how many events, of those that are chosen `(events,)`, each item has `(items,)`."""
        items = self.items if chosen is None else self.items[chosen]
        return np.bincount(items, minlength=len(self.item_ids))

    def before(self, time_ms: int) -> Self:
        """Return the events before a time, with the same numbers of shoppers, sessions, items and categories."""
        kept = self.time_ms < time_ms
        columns = {
            column.name: getattr(self, column.name)[kept]
            for column in fields(self)
            if column.name not in {"starts", "item_ids", "category_names"}
        }
        starts = np.searchsorted(columns["users"], np.arange(len(self.starts)))
        return type(self)(**columns, starts=starts, item_ids=self.item_ids, category_names=self.category_names)


class JourneyReader:
    """Reads events as they arrive; keeps 41 bytes of each."""

    def __init__(self, item_ids: Iterable[str] = (), *, shop: Shop = NO_SHOP) -> None:
        """Begin with the items of a catalogue, which are numbered first: those that no event names exist, too."""
        self._codes = {name: TYPE_CODES[like] for name, like in zip(shop.event_types, shop.behaves_like, strict=True)}
        self._codes[IMPRESSION] = IMPRESSION_CODE
        self._users = dict[str, int]()
        self._items = {item_id: number for number, item_id in enumerate(dict.fromkeys(item_ids))}
        self._catalogue = len(self._items)
        self._categories = dict[str, int]()
        self._has_items = False
        # user, hash of the event id, time, type, item, category
        self._columns = tuple(array(kind) for kind in "qQqBii")

    def append(self, event: Event) -> None:
        """Read one more event; of an impression only its position counts."""
        users, hashes, times, types, items, categories = self._columns
        users.append(self._users.setdefault(event.user_id, len(self._users)))
        hashes.append(xxhash.xxh3_64_intdigest(event.event_id.encode()))
        times.append(event.ts)
        types.append(self._codes.get(event.type, OTHER))
        item_id = None if event.type == IMPRESSION else event.item_id
        items.append(_number(item_id, self._items))
        self._has_items |= item_id is not None
        categories.append(_number(event.category, self._categories))

    def catalogue_share(self) -> float:
        """Return the share of the events with an item whose item is in the catalogue; 1 without one or the other."""
        items = np.frombuffer(self._columns[4], np.int32)
        items = items[items != NONE]
        return float((items < self._catalogue).mean()) if self._catalogue and len(items) else 1.0

    def journeys(self) -> Journeys:
        """Return what was read, without repeated event ids of a shopper and without impressions.

        Events without an item count for sessions only. Raises EvaluationError if no event has an item.
        """
        if not self._has_items:
            raise EvaluationError("not one event has an item: there is no next item to predict")
        positions, users, time_ms, types, items, categories = self._sorted()
        applied_ms = _running_maximum(users, time_ms)
        is_first = np.ones(len(users), np.bool_)
        is_first[1:] = (np.diff(users) != 0) | (np.diff(applied_ms) > SESSION_GAP_MS)
        sessions = np.cumsum(is_first) - 1
        kept = items != NONE
        return Journeys(
            users=users[kept],
            starts=np.searchsorted(users[kept], np.arange(users[-1] + 2)),
            rows=positions[kept],
            time_ms=applied_ms[kept],
            type_codes=types[kept].astype(np.uint8),
            items=items[kept].astype(np.int32),
            sessions=sessions[kept],
            categories=categories[kept].astype(np.int32),
            item_ids=list(self._items),
            category_names=list(self._categories),
        )

    def _sorted(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Return positions in the input and the columns without hashes, by shopper, without repeated events."""
        users, hashes, *others = (np.frombuffer(column, column.typecode) for column in self._columns)
        order = np.lexsort((hashes, users))  # stable: of equal ids the first that arrived comes first
        same = (np.diff(users[order]) == 0) & (np.diff(hashes[order]) == 0)
        rows = order[np.concatenate(([True], ~same))]
        rows = rows[others[1][rows] != IMPRESSION_CODE]
        rows.sort()
        rows = rows[np.argsort(users[rows], kind="stable")]
        return rows, users[rows], *(column[rows] for column in others)


def _number(name: str | None, numbers: dict[str, int]) -> int:
    return NONE if name is None else numbers.setdefault(name, len(numbers))


def _running_maximum(users: Integers, time_ms: Integers) -> Integers:
    """Return the latest time so far of each event's shopper `(events,)`, for events sorted by shopper."""
    base_ms = users * (int(np.ptp(time_ms)) + 1)  # lifts each shopper's times above those of the one before
    return np.asarray(np.maximum.accumulate(base_ms + time_ms) - base_ms)
