"""Statistics of event files, before training; about 25 bytes of memory per event, and each user's id once."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from model.batch import event_hash
from model.events import EVENT_TYPES, IMPRESSION, OTHER, PURCHASE, Event, anonymous_id_of
from model.formats.fields import snake_case
from model.horizons import SESSION_GAP_MS
from model.shop import NO_SHOP, Shop
from model.training.labels import label_events
from model.training.split import data_bounds
from model.validate import BadRow
from service.errors import FormatError

QUANTILES: Final = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99, "max": 1.0}
OPTIONAL_FIELDS: Final = ("item_id", "category", "price", "quantity", "rating", "text", "anonymous_id", "context")
_BITS: Final = tuple((name, 1 << number) for number, name in enumerate(OPTIONAL_FIELDS))
FEWEST_OF_ONE: Final = 20
_FEWEST_VALUES: Final = 10
COUNTED: Final = ("user_id", "item_id", "category")
"""Fields of which the value that most events have is looked for."""
_APART_SHARE: Final = 0.02
_APART_TIMES: Final = 10
"""A shopper with more of all events than the one, and so many times as many as the average, may be many."""
_FAR_SPANS: Final = 2
_DIGITS_OF_A_SHEET: Final = 15
_ROUNDED: Final = re.compile(r"[1-9][0-9]{14}0+", re.ASCII)
LINES_NAMED: Final = 5
"""How many places are listed per reason for bad rows."""

Integers = npt.NDArray[np.int64]
Rows = Iterable[Event | BadRow]


@dataclass(slots=True)
class BadRows:
    """The bad rows of one reason."""

    error: str
    """What is wrong with the first."""
    count: int = 0
    first: list[tuple[str, int]] = field(default_factory=list)
    """File and line of the first ones."""


@dataclass(frozen=True, slots=True)
class HorizonRate:
    """How often a purchase follows within a horizon, among the events with a known label."""

    base_rate: float | None
    known: int
    unknown: int
    """Events whose horizon reaches past the end of the data."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """All counts but `duplicates` and `out_of_order` leave repeated events out."""

    events: int
    """Impressions are none of these, nor of anything else but `impressions`."""
    impressions: int
    duplicates: int
    """Events and impressions whose id their user had sent before, anywhere in the files."""
    bad_rows: dict[str, BadRows]
    first_ms: int
    last_ms: int
    users: int
    buyers: int
    types: dict[str, int]
    """Every built-in type, then the shop's own, in their order."""
    filled: dict[str, int]
    """Events that have each optional field, then each of the shop's attributes."""
    sessions: int
    sessions_with_purchase: int
    events_per_user: dict[str, float]
    out_of_order: int
    """Events that are older than one that lies before them."""
    users_out_of_order: int
    """Users with an event that is older than their own one before it."""
    horizons: dict[str, HorizonRate]
    most_frequent: dict[str, "MostFrequent"]
    """Of user_id, item_id and category: the value that most events have."""
    identities: int
    """Pairs of an anonymous id and a user whose events name it."""
    most_users_of_one: int
    """Users who name one and the same anonymous id."""
    respelt: dict[str, int]
    """Events whose type is a built-in one in other letters, which are of type other, by that type."""
    far: int
    """Events whose time is far from nearly all others: twice as far as the middle 98 % of the events last."""
    orders_repeated: int
    """Order ids that stand in more than one purchase, repeated events included."""
    orders_undone: int
    """Order ids whose context says that they were cancelled, refunded, voided or never paid: they are no purchases."""


@dataclass(frozen=True, slots=True)
class MostFrequent:
    """The value of a field that most events have."""

    events: int
    of: int
    """Events that have the field."""
    values: int
    """How many values there are."""
    rounded: int
    """Events whose value has more than 15 digits, of which those after the 15th are zeros."""

    @property
    def is_apart(self) -> bool:
        """Whether it has far more events than the others."""
        most = max(_APART_SHARE * self.of, _APART_TIMES * self.of / self.values)
        return self.events >= FEWEST_OF_ONE and self.events > most

    def is_above(self, share: float) -> bool:
        """Whether so large a share of the events have it, among many values."""
        return self.events >= FEWEST_OF_ONE and self.values >= _FEWEST_VALUES and self.events > share * self.of


class _Columns:
    """Columns with one entry per event, in the order of the files."""

    def __init__(self, shop: Shop) -> None:
        self._codes = {name: code for code, name in enumerate(shop.event_types)}
        self._attributes = tuple((name, 1 << number) for number, name in enumerate(shop.attributes, len(_BITS)))
        self.bits = (*_BITS, *self._attributes)
        self.numbers: dict[str, int] = {}
        self.bad_rows: dict[str, BadRows] = {}
        self.users, self.times_ms = array("I"), array("q")
        self.types, self.hashes = array("B"), array("Q")
        self.shown_numbers: dict[str, int] = {}
        self.shown_to, self.shown_hashes = array("I"), array("Q")
        """The same of impressions."""
        self.filled = array("Q" if self._attributes else "B")
        """A bit for each of OPTIONAL_FIELDS, then of the attributes."""
        self.counts = {name: Counter[int]() for name in COUNTED}
        """Events by the hash of a value."""
        self.rounded = Counter[str]()
        self.respelt = Counter[str]()
        self.identities = set[tuple[str, str]]()
        """Anonymous ids, each with a user."""
        self.orders = Counter[int]()
        """Purchases by the hash of their order's id."""
        self.orders_undone = set[int]()
        """Hashes of the ids of orders that are no purchases."""

    def take(self, file: str, row: Event | BadRow) -> None:
        if isinstance(row, Event) and row.type == IMPRESSION:
            self.shown_to.append(self.shown_numbers.setdefault(row.user_id, len(self.shown_numbers)))
            self.shown_hashes.append(event_hash(row.event_id))
        elif isinstance(row, Event):
            self.users.append(self.numbers.setdefault(row.user_id, len(self.numbers)))
            self.times_ms.append(row.ts)
            self.types.append(self._code(row.type))
            self.hashes.append(event_hash(row.event_id))
            self._count(row)
            attributes = row.attributes or {}
            self.filled.append(
                sum(bit for name, bit in _BITS if getattr(row, name) is not None)
                + sum(bit for name, bit in self._attributes if name in attributes)
            )
        else:
            bad = self.bad_rows.setdefault(row.reason, BadRows(row.error))
            bad.count += 1
            if len(bad.first) < LINES_NAMED:
                bad.first.append((file, row.line))

    def _code(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None and (snake_case(name.strip()) in self._codes):
            self.respelt[name] += 1
        return OTHER if code is None else code

    def _count(self, event: Event) -> None:
        for name, counts in self.counts.items():
            value = getattr(event, name)
            if value is not None:
                counts[event_hash(value)] += 1
                self.rounded[name] += len(value) > _DIGITS_OF_A_SHEET and _ROUNDED.fullmatch(value) is not None
        if anonymous_id := anonymous_id_of(event.user_id, event.anonymous_id):
            self.identities.add((anonymous_id, event.user_id))
        if event.context and (order := event.context.get("order_id")):
            if event.type == EVENT_TYPES[PURCHASE]:
                self.orders[event_hash(order)] += 1
            elif "order_status" in event.context:
                self.orders_undone.add(event_hash(order))


def inspect_rows(files: Iterable[tuple[str, Rows]], horizons: Sequence[str], shop: Shop = NO_SHOP) -> Inspection:
    """Read files, given by name and rows as `shop` has them read, to their end.

    Raises FormatError if there is no event, and ValueError for an invalid horizon.
    """
    columns = _Columns(shop)
    for file, rows in files:
        for row in rows:
            columns.take(file, row)
    if not columns.users:
        raise FormatError("there is not one event in these files: check them and their --format")
    return _inspection(columns, horizons, shop)


def _inspection(columns: _Columns, horizons: Sequence[str], shop: Shop) -> Inspection:
    users, times_ms = np.asarray(columns.users, np.int64), np.asarray(columns.times_ms)
    kept = _first_of_each(users, np.asarray(columns.hashes))
    shown_to = np.asarray(columns.shown_to, np.int64)
    impressions = len(_first_of_each(shown_to, np.asarray(columns.shown_hashes)))
    out_of_order, users_out_of_order = _disorder(users, times_ms)
    types, filled = np.asarray(columns.types)[kept], np.asarray(columns.filled)[kept]
    is_purchase = np.array([like == EVENT_TYPES[PURCHASE] for like in shop.behaves_like])[types]
    sessions, bought_in = _sessions(users[kept], times_ms[kept], is_purchase)
    counts = np.bincount(users[kept])
    return Inspection(
        events=len(kept),
        impressions=impressions,
        duplicates=len(users) - len(kept) + len(shown_to) - impressions,
        bad_rows=columns.bad_rows,
        first_ms=int(times_ms.min()),
        last_ms=int(times_ms.max()),
        users=len(columns.numbers),
        buyers=len(np.unique(users[kept][is_purchase])),
        types={name: int((types == code).sum()) for code, name in enumerate(shop.event_types)},
        filled={name: int((filled & bit > 0).sum()) for name, bit in columns.bits},
        sessions=sessions,
        sessions_with_purchase=bought_in,
        events_per_user={name: round(float(np.quantile(counts, share)), 1) for name, share in QUANTILES.items()},
        out_of_order=out_of_order,
        users_out_of_order=users_out_of_order,
        horizons=_rates(users[kept], times_ms[kept], is_purchase, horizons),
        most_frequent={
            name: MostFrequent(max(counts.values()), counts.total(), len(counts), columns.rounded[name])
            for name, counts in columns.counts.items()
            if counts
        },
        identities=len(columns.identities),
        most_users_of_one=max(Counter(one for one, _ in columns.identities).values(), default=0),
        respelt=dict(columns.respelt),
        far=_far(times_ms),
        orders_repeated=sum(count > 1 for count in columns.orders.values()),
        orders_undone=len(columns.orders_undone),
    )


def _far(times_ms: Integers) -> int:
    """Count times that are far from nearly all others; in few events none is."""
    low, high = np.quantile(times_ms, (0.01, 0.99))
    margin = _FAR_SPANS * max(high - low, SESSION_GAP_MS)
    return int(((times_ms < low - margin) | (times_ms > high + margin)).sum())


def _first_of_each(users: Integers, hashes: npt.NDArray[np.uint64]) -> Integers:
    """Return the rows, ascending, in which a user's event id occurs for the first time."""
    order = np.lexsort((hashes, users))  # stable: equal ones stay in their order
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (np.diff(users[order]) != 0) | (hashes[order][1:] != hashes[order][:-1])
    return np.sort(order[is_new])


def _disorder(users: Integers, times_ms: Integers) -> tuple[int, int]:
    """Count events older than one before them in the files, and users with such events among their own."""
    late = times_ms < np.maximum.accumulate(times_ms)
    order = np.argsort(users, kind="stable")
    goes_back = (np.diff(users[order]) == 0) & (np.diff(times_ms[order]) < 0)
    return int(late.sum()), len(np.unique(users[order][1:][goes_back]))


def _sessions(users: Integers, times_ms: Integers, is_purchase: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Count sessions, and those with a purchase."""
    order = np.lexsort((times_ms, users))
    is_break = (np.diff(users[order]) != 0) | (np.diff(times_ms[order]) > SESSION_GAP_MS)
    session = np.concatenate(([0], np.cumsum(is_break)))
    return int(session[-1]) + 1, len(np.unique(session[is_purchase[order]]))


def _rates(
    users: Integers, times_ms: Integers, is_purchase: npt.NDArray[np.bool_], horizons: Sequence[str]
) -> dict[str, HorizonRate]:
    labels = label_events(users, times_ms, is_purchase, horizons)
    known = labels.known_by(data_bounds(times_ms)[1])
    rates = {}
    for number, horizon in enumerate(horizons):
        bought = labels.bought[known[:, number], number]
        base_rate = float(bought.mean()) if len(bought) else None
        rates[horizon] = HorizonRate(base_rate, known=len(bought), unknown=len(users) - len(bought))
    return rates
