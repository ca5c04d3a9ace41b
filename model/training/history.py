"""Whole histories as columns, made by the same append and features code as in the worker.

What grows with the number of events is in a `Storage`, so in memory only up to its limit. What grows with the number of
users is in memory: about 150 bytes per user.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xxhash

from model.arrays import Booleans, Runs
from model.batch import EventBatch, batch_of
from model.core.append import Appended, Source, append_events
from model.core.features import Features, category_rates, count_categories
from model.events import IMPRESSION, PURCHASE, Event
from model.following import Following, anonymous_index
from model.goals import GoalReader, MetGoals
from model.heads import CATEGORY_CODES, CategoryNames
from model.sequence import SEQUENCE, new_sequences
from model.shop import NO_SHOP, Shop
from model.training.chunks import Spans
from model.training.storage import Storage
from model.validate import BadRow
from service.errors import FormatError, TrainingError

_EVENTS_AT_ONCE: Final = 20_000
_ROWS_AT_ONCE: Final = 200_000
_COLUMNS: Final = (
    "users",
    "rows",
    "time_ms",
    "applied_ms",
    "type_codes",
    "own_types",
    "numeric",
    "items",
    "categories",
    "tokens",
    "met_goals",
    "values",
    "labels",
)
_COLUMNS_OF_FEATURES: Final = 5
_MOST_OUT_OF_ORDER: Final = 0.2
_STATE: Final = np.dtype([("sequence", SEQUENCE)])
_NOBODY: Final = -1
_CONSTANT: Final = 1e-6
"""An attribute that varies less is not divided by its deviation."""


@dataclass(frozen=True, slots=True)
class History:
    """Every accepted event, sorted by user and within a user in order of arrival."""

    users: npt.NDArray[np.int64]
    """The user number of each event, ascending."""
    rows: npt.NDArray[np.int64]
    """The position of each event in the input, from 0, without bad rows."""
    time_ms: npt.NDArray[np.int64]
    """The event's own timestamp."""
    applied_ms: npt.NDArray[np.int64]
    """The time at which it was applied: its own, or that of a later event of the user that arrived before it."""
    type_codes: npt.NDArray[np.uint8]
    """Built-in types: of a shop's own types, the ones that they behave like."""
    own_types: npt.NDArray[np.uint8]
    """Positions in `Shop.event_types`."""
    numeric: npt.NDArray[np.float32]
    """The numeric features; of the event's category what was known when it arrived."""
    items: npt.NDArray[np.uint16]
    categories: npt.NDArray[np.uint16]
    tokens: npt.NDArray[np.uint16]
    met_goals: MetGoals
    """Which of the shop's goals each event meets."""
    values: npt.NDArray[np.float32]
    """What each purchase is worth; NaN of one without a price, 0 of other events, and of all if money is not asked."""
    labels: npt.NDArray[np.uint8]
    """Codes of the shop's categorical attributes `(events, attributes)`."""
    starts: npt.NDArray[np.int64]
    """Each user's first row, followed by the number of rows `(users + 1,)`."""
    user_ids: list[str] = field(repr=False)
    """By user number."""
    duplicates: int
    late: int
    """Events left out because nobody knows any more whether they came before."""
    impressions: int
    """Events left out because they say what was shown, not what a shopper did."""
    bad_rows: int
    storage: Storage = field(repr=False)
    """Holds the columns, and other arrays of their length."""
    logins: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    """The rows of events that claimed what an anonymous id did, in the order of `rows` `(logins,)`."""
    category_names: CategoryNames = field(default_factory=CategoryNames, repr=False)
    """What the codes of `categories` stand for."""
    shop: Shop = NO_SHOP
    """What its events were read with."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def is_purchase(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.type_codes == PURCHASE)

    def is_positive(self, part: slice, names: Sequence[str]) -> Booleans:
        """Return which events of a part meet each goal, or are purchases for a horizon `(events, names)`."""
        goals, is_purchase = list(self.shop.goals), self.is_purchase[part]
        columns = [
            (self.met_goals[part] >> goals.index(name)) & 1 == 1 if name in goals else is_purchase for name in names
        ]
        return np.stack(columns, axis=1)

    @property
    def counts(self) -> dict[str, int]:
        """What a checkpoint and a report say of the data."""
        return {
            "events": len(self),
            "users": len(self.user_ids),
            "purchases": int(self.is_purchase.sum()),
            "duplicates": self.duplicates,
            "late": self.late,
            "impressions": self.impressions,
            "logins": len(self.logins),
            "bad_rows": self.bad_rows,
        }

    @property
    def out_of_order(self) -> int:
        """Number of events that arrived after a later one of their user."""
        return sum(int((self.time_ms[part] < self.applied_ms[part]).sum()) for part in self.parts())

    def require_order(self) -> int:
        """Return `out_of_order`; raises FormatError if so many events are that the history cannot be sorted."""
        late = self.out_of_order
        if late > _MOST_OUT_OF_ORDER * len(self):
            raise FormatError(
                f"{late:,} of {len(self):,} events come after a later one of their user: "
                "the history is not sorted by time; sort it, oldest first"
            )
        return late

    def parts(self) -> Iterator[slice]:
        """Yield slices of whole users that fit into memory, of about _ROWS_AT_ONCE rows."""
        first = 0
        while first < len(self):
            user = int(np.searchsorted(self.starts, min(first + _ROWS_AT_ONCE, len(self))))
            yield slice(first, first := int(self.starts[user]))

    def after_login(self, events: int) -> Booleans:
        """Return which events `(events,)` are among so many of their user's that follow a log-in."""
        found = np.zeros(len(self), np.bool_)
        if len(self.logins):
            by_row = np.argsort(self.rows)
            places = by_row[np.searchsorted(self.rows, self.logins, sorter=by_row)]
            for back in range(1, events + 1):
                following = places[places + back < len(self)] + back
                found[following[self.users[following] == self.users[following - back]]] = True
        return found

    def names_of_categories(self, buckets: int) -> dict[int, str]:
        """Return the name of the most frequent category of each bucket that has one."""
        counts = np.zeros(CATEGORY_CODES, np.int64)
        for part in self.parts():
            counts += np.bincount(self.categories[part], minlength=CATEGORY_CODES)
        return self.category_names.by_bucket(counts, buckets)

    def category_rates(self, spans: Spans) -> npt.NDArray[np.float32]:
        """Return what the events of some spans say of each category `(CATEGORY_CODES, 2)`."""
        counts = np.zeros((CATEGORY_CODES + 1, 2), np.int64)
        for group in spans.cut(_ROWS_AT_ONCE):
            rows, _ = group.rows()
            for column, chosen in enumerate((rows, rows[self.is_purchase[rows]])):
                counts[:-1, column] += np.bincount(self.categories[chosen], minlength=CATEGORY_CODES)
                counts[-1, column] += len(chosen)
        counts[0] = 0  # of no category nothing is known
        return category_rates(counts)

    def number_scales(self, spans: Spans) -> npt.NDArray[np.float64]:
        """Return mean and deviation of each numeric attribute, where known, in some spans `(2, attributes)`."""
        attributes = len(self.shop.numeric)
        sums = np.zeros((3, attributes))  # of what is known: how many, the numbers, their squares
        for group in spans.cut(_ROWS_AT_ONCE):
            found = self.numeric[group.rows()[0]].astype(np.float64)
            numbers, known = np.split(found[:, found.shape[1] - 2 * attributes :], 2, axis=1)
            sums += known.sum(axis=0), numbers.sum(axis=0), (numbers**2).sum(axis=0)
        means, squares = sums[1:] / np.maximum(sums[0], 1)
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        return np.stack((means, np.where(deviations < _CONSTANT, 1.0, deviations)))

    def unused_definitions(self) -> list[str]:
        """Return the shop's own types that no event has, and attributes that every event lacks, as in `types.gift`."""
        shop, has_type = self.shop, np.zeros(len(self.shop.event_types), np.bool_)
        known = np.zeros(len(shop.categorical) + len(shop.numeric), np.bool_)
        for part in self.parts():
            has_type |= np.bincount(self.own_types[part], minlength=len(has_type)) > 0
            is_known = self.numeric[part][:, self.numeric.shape[1] - len(shop.numeric) :]
            known |= np.concatenate([(self.labels[part] > 0).any(axis=0), (is_known > 0).any(axis=0)])
        found = dict(zip(shop.event_types, has_type, strict=True))
        attributes = zip((*shop.categorical, *shop.numeric), known, strict=True)
        unused = [f"types.{name}" for name in shop.types if not found[name]]
        return unused + [f"attributes.{name}" for name, has in attributes if not has]

    def digest(self) -> str:
        """Return a hash of all columns."""
        state = xxhash.xxh3_128()
        for part in self.parts():
            for name in _COLUMNS:
                state.update(np.ascontiguousarray(getattr(self, name)[part]).data)
            self.storage.used(self.numeric[part].nbytes)
        return state.hexdigest()

    def features(self, rows: npt.NDArray[np.int64]) -> Features:
        """Return the model's inputs for some rows."""
        found = Features(
            numeric=self.numeric[rows],
            types=self.own_types[rows].astype(np.int64),
            categories=self.categories[rows].astype(np.int64),
            tokens=self.tokens[rows].astype(np.int64),
            labels=self.labels[rows].astype(np.int64),
        )
        self.storage.used(found.numeric.nbytes, places=int((np.diff(rows) != 1).sum()) * _COLUMNS_OF_FEATURES)
        return found


class _Appending:
    """The users' states while a history is read, and the columns so far, in order of arrival.

    Identities are followed: a user's features know what an anonymous id did that the user has claimed. If nothing was
    known of the user before, those events are the beginning of the user's own history, and purchases that follow are
    theirs as well. Else they stay a history by themselves.
    """

    def __init__(self, storage: Storage, shop: Shop, *, follows: bool) -> None:
        self.shop = shop
        self._follows = follows
        self._goals, self._has_money = GoalReader(shop), shop.money is not None
        self.numbers: dict[str, int] = {}
        self.duplicates = self.late = self.impressions = 0
        self.read = 0
        self.chunks: list[dict[str, npt.NDArray[Any]]] = []
        self.category_names = CategoryNames()
        self.storage = storage
        self._states = _new_states(1024)
        self._following = Following()
        self.claims = defaultdict[int, list[tuple[int, int]]](list)
        """By anonymous user the rows of the events that claimed it, in order, each with the user whose history it
        began, or _NOBODY's."""
        self._category_counts = np.zeros((CATEGORY_CODES + 1, 2), np.int64)

    def append(self, events: Sequence[Event]) -> None:
        batch = batch_of(events, with_texts=False, shop=self.shop)
        users = np.array([self.numbers.setdefault(event.user_id, len(self.numbers)) for event in events], np.int64)
        anonymous = anonymous_index(batch, self.numbers) if self._follows else np.full(len(batch), -1)
        if len(self.numbers) > len(self._states):
            self._make_room()
        rows, parts = self.read + np.arange(len(batch)), list[Appended]()

        def step(some: npt.NDArray[np.int64], part: EventBatch) -> Appended:
            found = append_events(self._states["sequence"], users[some], part, Source(0, rows[some]))
            parts.append(replace(found, rows=some[found.rows]))
            self.duplicates += found.duplicates
            self.late += len(found.late)
            self.impressions += len(found.impressions)
            return found

        for join in self._following.append(self._states, users, anonymous, batch, step):
            self.claims[join.anonymous].append((int(rows[join.event]), join.user if join.is_new else _NOBODY))
        appended = parts[0] if len(parts) == 1 else _together(parts)
        features = appended.features
        in_order = np.argsort(appended.rows)
        types = batch.type_codes[appended.rows]
        count_categories(features.numeric, features.categories, types.astype(np.int64), in_order, self._category_counts)
        columns: dict[str, npt.NDArray[Any]] = {
            "users": appended.users,
            "rows": rows[appended.rows],
            "time_ms": batch.event_time_ms[appended.rows],
            "applied_ms": appended.time_ms,
            "type_codes": types,
            "own_types": features.types.astype(np.uint8),
            "numeric": features.numeric,
            "items": batch.item_codes[appended.rows],
            "categories": batch.category_codes[appended.rows],
            "tokens": batch.token_codes[appended.rows],
            "met_goals": self._goals.met(events)[appended.rows],
            "values": self._values(events)[appended.rows],
            "labels": features.labels.astype(np.uint8),
        }
        self.chunks.append({name: self.storage.keep(columns[name]) for name in _COLUMNS})
        self.storage.used(len(batch) * SEQUENCE.itemsize, places=len(batch))
        self.category_names.count(event.category for event in events if event.type != IMPRESSION)
        self.read += len(batch)

    def _values(self, events: Sequence[Event]) -> npt.NDArray[np.float32]:
        return self._goals.values(events) if self._has_money else np.zeros(len(events), np.float32)

    def _make_room(self) -> None:
        size = len(self._states)
        while size < len(self.numbers):
            size *= 2
        states = self.storage.empty((size,), _STATE)
        states[: len(self._states)] = self._states
        for first in range(len(self._states), size, _EVENTS_AT_ONCE):
            some = states[first : first + _EVENTS_AT_ONCE]
            some[...] = _new_states(len(some))
            self.storage.used(some.nbytes)
        self._states = states


def read_history(
    rows: Iterable[Event | BadRow],
    storage: Storage | None = None,
    arrivals: Storage | None = None,
    *,
    shop: Shop = NO_SHOP,
    follows_identities: bool = True,
) -> History:
    """Read a shop's events in order of arrival into `storage`; `arrivals` holds them until all are read.

    Without `follows_identities` anonymous ids are shoppers by themselves for ever.

    Raises TrainingError if there are no events.
    """
    appending, bad_rows = _Appending(arrivals or Storage(), shop, follows=follows_identities), 0
    source = iter(rows)
    while chunk := list(islice(source, _EVENTS_AT_ONCE)):
        events = [row for row in chunk if isinstance(row, Event)]
        bad_rows += len(chunk) - len(events)
        if events:
            appending.append(events)
    if not any(len(chunk["users"]) for chunk in appending.chunks):
        raise TrainingError("there is not one event to learn from: check the files and their --format")
    return _sorted_by_user(appending, bad_rows, storage or Storage())


def _new_states(users: int) -> npt.NDArray[np.void]:
    states = np.empty(users, _STATE)
    states["sequence"] = new_sequences(users)
    return states


def _together(parts: Sequence[Appended]) -> Appended:
    """Return what was appended in several steps as one, sorted by user, each user's in order of arrival."""
    users, rows = (np.concatenate([getattr(part, name) for part in parts]) for name in ("users", "rows"))
    order = np.lexsort((rows, users))
    features = {
        column.name: np.concatenate([getattr(part.features, column.name) for part in parts])[order]
        for column in fields(Features)
    }
    time_ms = np.concatenate([part.time_ms for part in parts])[order]
    return replace(parts[0], rows=rows[order], users=users[order], time_ms=time_ms, features=Features(**features))


def _number_histories(appending: _Appending) -> list[str]:
    """Give each user who has events a number from 0 on, in the chunks, and return their ids.

    What an anonymous id did until it was claimed is one history, or the beginning of the user's who claimed it.
    """
    ids = list(appending.numbers)
    for chunk in appending.chunks:
        users, moved = chunk["users"].copy(), False
        for place in np.flatnonzero(np.isin(users, list(appending.claims))) if appending.claims else ():
            claims = appending.claims[int(users[place])]
            number = bisect_right(claims, int(chunk["rows"][place]), key=itemgetter(0))
            if number < len(claims):
                users[place] = _begun_by(claims, number, ids, int(users[place]))
                moved = True
        if moved:
            order = np.lexsort((chunk["rows"], users))
            chunk.update({name: column[order] for name, column in {**chunk, "users": users}.items()})
    present = np.unique(np.concatenate([chunk["users"] for chunk in appending.chunks]))
    for chunk in appending.chunks:
        chunk["users"] = np.searchsorted(present, chunk["users"])
    return [ids[user] for user in present.tolist()]


def _begun_by(claims: list[tuple[int, int]], number: int, ids: list[str], anonymous: int) -> int:
    """Return the user whose history begins with what came before a claim; of nobody's it gets a number of its own."""
    row, user = claims[number]
    if user == _NOBODY:
        user = len(ids)
        ids.append(ids[anonymous])
        claims[number] = row, user
    return user


def _sorted_by_user(appending: _Appending, bad_rows: int, storage: Storage) -> History:
    """Sort the rows by user, each user's in order of arrival.

    A counting sort: it needs memory per user only, and writes each row once.
    """
    user_ids = _number_histories(appending)
    events = np.zeros(len(user_ids), np.int64)
    for chunk in appending.chunks:
        events += np.bincount(chunk["users"], minlength=len(user_ids))
    starts = np.concatenate(([0], np.cumsum(events)))
    columns = {
        name: storage.empty((int(starts[-1]), *column.shape[1:]), column.dtype)
        for name, column in appending.chunks[0].items()
    }
    free = starts[:-1].copy()  # the place of each user's next row
    for chunk in appending.chunks:
        runs = Runs.of(chunk["users"])
        place = free[chunk["users"]] + runs.rank  # (rows of the chunk,)
        free[runs.users] += runs.lengths
        for name in _COLUMNS:
            values = chunk.pop(name)
            columns[name][place] = values
            storage.used(values.nbytes, places=len(runs.users))
            appending.storage.used(values.nbytes)
    return History(
        **columns,
        starts=starts,
        user_ids=user_ids,
        logins=np.array(sorted(row for claims in appending.claims.values() for row, _ in claims), np.int64),
        duplicates=appending.duplicates,
        late=appending.late,
        impressions=appending.impressions,
        bad_rows=bad_rows,
        storage=storage,
        category_names=appending.category_names,
        shop=appending.shop,
    )
