"""Table values: a user's sequence state and the carried LSTM state (h and c), as bytes and as arrays."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.arrays import Runs
from model.batch import EventBatch, OwnColumns
from model.core.append import Appended, Source, append_events
from model.core.texts import EventTexts
from model.horizons import HORIZONS
from model.layouts import SEQUENCES, as_now
from model.sequence import (
    HAS_OWN,
    ID_BITS,
    LAYOUT,
    NO_MODEL,
    OF_ITEMS,
    RING_EVENTS,
    new_own,
    new_sequences,
    own_dtype,
    own_of,
    state_dtype,
    stored_events,
)
from model.shop import NO_SHOP, Shop
from service.errors import CartcastError


class StateLayoutError(CartcastError):
    """A stored state is of a layout that this version cannot read."""


class StateCodec:
    """Turns table values into `(users,)` arrays of `state_dtype(carried_floats, horizons)` and back.

    `model_code` identifies the model; a state whose carried numbers another model wrote is stale.
    """

    def __init__(
        self,
        carried_floats: int,
        model_code: int,
        horizons: int = len(HORIZONS),
        shop: Shop = NO_SHOP,
        *,
        has_item_ends: bool = False,
    ) -> None:
        self.dtype = state_dtype(carried_floats, horizons, shop, has_item_ends=has_item_ends)
        self.model_code = model_code
        self.shop = shop
        blank = np.zeros(1, self.dtype)
        blank["sequence"] = new_sequences(1)
        blank["sequence"]["model"] = model_code
        blank["latest"] = np.nan
        self._layout = LAYOUT | (sum(OF_ITEMS) if has_item_ends else 0)
        blank["sequence"]["layout"] = self._layout
        self._definition = b""
        """What begins the shop's own ring, which names what is in it."""
        if shop.has_own_events:
            blank["own"] = new_own(1, shop)
            self._layout |= HAS_OWN
            blank["sequence"]["layout"] = self._layout
            self._definition = _definition(blank.tobytes())
        self._blank = blank.tobytes()
        self._blank_record = blank[0]

    def blank(self, users: int) -> npt.NDArray[np.void]:
        """Return the `(users,)` records of users who have done nothing yet."""
        records: npt.NDArray[np.void] = np.full(users, self._blank_record, self.dtype)
        return records

    def gather(self, values: Sequence[bytes | None]) -> npt.NDArray[np.void]:
        """Return a writable array of the values' records, fresh ones for users without a value.

        Raises StateLayoutError.
        """
        records = [value or self._blank for value in values]
        others = defaultdict[tuple[int, int, bytes], list[int]](list)
        for user, record in enumerate(records):
            if not self.is_current(record):
                others[record[0], len(record), _definition(record)].append(user)
        if not others:
            return np.frombuffer(b"".join(records), self.dtype).copy()
        states = self.blank(len(records))
        for (kind, length, of_shop), users in others.items():
            states[users] = self._converted(kind, length, of_shop, b"".join(records[user] for user in users))
        same = np.setdiff1d(np.arange(len(records)), np.concatenate(list(others.values())))
        states[same] = np.frombuffer(b"".join(records[user] for user in same), self.dtype)
        return states

    def is_current(self, value: bytes) -> bool:
        """Whether a value that is not empty is of the layout, size and definition that this codec writes."""
        return (value[0], len(value)) == (self._layout, self.dtype.itemsize) and (
            not self._definition or _definition(value) == self._definition
        )

    def scatter(self, states: npt.NDArray[np.void]) -> list[bytes]:
        """Return each record's bytes."""
        size, joined = self.dtype.itemsize, states.tobytes()
        return [joined[start : start + size] for start in range(0, len(joined), size)]

    def stale(self, states: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        """Return the indices of the states whose carried numbers another model wrote."""
        return np.flatnonzero(states["sequence"]["model"] != self.model_code)

    def _converted(self, layout: int, length: int, definition: bytes, joined: bytes) -> npt.NDArray[np.void]:
        """Return the states in records of an earlier layout, or of another model or shop's definition.

        They keep their sequence, and of a shop's own ring what still has the same name and kind. Those of a model with
        another size of carried numbers, or of another definition, are stale.
        """
        sequence = _sequence_of(layout)
        own = np.dtype([])
        if len(definition) > 2:
            own = own_dtype(definition[0], definition[1], has_types=bool(definition[2]))
        of_items = np.dtype([field for bit, field in OF_ITEMS.items() if layout & bit])
        if sequence is None or length < sequence.itemsize + own.itemsize + of_items.itemsize:
            raise StateLayoutError(
                f"the changelog holds sequence states of layout {layout} with {length} bytes, this version reads "
                f"layouts {min(SEQUENCES)} to {LAYOUT}: run the version that wrote them, or start from an empty "
                "changelog under another topic prefix"
            )
        rest = np.dtype((np.void, length - sequence.itemsize - own.itemsize - of_items.itemsize))
        parts = [("sequence", sequence), ("own", own), ("of_items", of_items), ("numbers", rest)]
        records = np.frombuffer(joined, parts)
        states = self.blank(len(records))
        states["sequence"] = as_now(records["sequence"])
        states["sequence"]["layout"] = self._layout
        _copy_own(records["own"], states)
        for name in set(of_items.names or ()) & set(self.dtype.names or ()):
            states[name] = records["of_items"][name]
        numbers = np.dtype([(name, self.dtype[name]) for name in ("carried", "latest")])
        if records["numbers"].itemsize == numbers.itemsize and definition == self._definition:
            of_model = np.ascontiguousarray(records["numbers"]).view(numbers)
            for name in numbers.names or ():
                states[name] = of_model[name]
        else:
            states["sequence"]["model"] = NO_MODEL
        return states


def _sequence_of(layout: int) -> np.dtype[np.void] | None:
    """Return the dtype of the sequence that begins a record with that first byte; None if it is unknown."""
    return SEQUENCES.get(layout & ~(HAS_OWN | sum(OF_ITEMS)))


def _definition(record: bytes) -> bytes:
    """Return what a record says of the shop's own ring that is in it; nothing if there is none."""
    sequence = _sequence_of(record[0])
    if not record[0] & HAS_OWN or sequence is None:
        return b""
    counts = record[sequence.itemsize : sequence.itemsize + 3]
    return record[sequence.itemsize : sequence.itemsize + 3 + 2 * sum(counts[:2])]


def _copy_own(earlier: npt.NDArray[np.void], states: npt.NDArray[np.void]) -> None:
    """Copy to the states what their own rings still have of earlier ones `(users,)`."""
    own = own_of(states)
    if own is None or not earlier.dtype.names or not len(own):
        return
    if {"types"} <= set(earlier.dtype.names) & set(own.dtype.names or ()):
        own["types"] = earlier["types"]
    categorical = int(earlier["categorical"][0]), int(own["categorical"][0])
    had, has = (rings["names"][0].tolist() for rings in (earlier, own))
    for place, name in enumerate(has):
        if name in had:
            ring = "labels" if place < categorical[1] else "numbers"
            before = had.index(name) - (0 if ring == "labels" else categorical[0])
            now = place - (0 if ring == "labels" else categorical[1])
            own[ring][:, :, now] = earlier[ring][:, :, before]


def remember_more(states: npt.NDArray[np.void], appended: Appended, batch: EventBatch) -> None:
    """Put what the sequence has no room for into the states' further rings, in place, if they have any.

    That is what the shop defines of its own, and the upper halves of item codes. `appended` is what became of `batch`
    in these states.
    """
    own, has_item_ends = own_of(states), "item_ends" in (states.dtype.names or ())
    if (own is None or batch.own is None) and not has_item_ends:
        return
    runs = Runs.of(appended.users)
    counts = states["sequence"]["events"][appended.users].astype(np.int64)
    slots = (counts - runs.lengths[runs.index] + runs.rank) % RING_EVENTS  # later events come over earlier ones
    if has_item_ends:
        states["item_ends"][appended.users, slots] = batch.item_codes[appended.rows] >> np.uint32(16)
    if own is None or batch.own is None:
        return
    columns = batch.own.take(appended.rows)
    if "types" in (own.dtype.names or ()):
        own["types"][appended.users, slots] = columns.type_hashes
    own["labels"][appended.users, slots] = columns.labels
    own["numbers"][appended.users, slots] = columns.numbers


def replay_rings(
    sequences: npt.NDArray[np.void], own: npt.NDArray[np.void] | None = None, shop: Shop = NO_SHOP
) -> Appended:
    """Append the events of every user's ring, oldest first, to a new sequence, to rebuild carried numbers from.

    `own` are the users' own rings, if the shop has them. `Appended.users` are indices into `sequences`. Events before
    the ring are lost, and so are the words of all but the last events that had any: the rebuilt numbers differ from
    those of the whole history.
    """
    users, events = stored_events(sequences, own)
    return replay_events(users, events, len(sequences), shop)


def replay_events(
    users: npt.NDArray[np.int64], events: npt.NDArray[np.void], count: int, shop: Shop = NO_SHOP
) -> Appended:
    """Append STORED_EVENT records `(events,)` of `count` users to new sequences; `users` are ascending."""
    batch = EventBatch(
        # Copies: columns as a decoder makes them, each in one piece, for which the loop is compiled already.
        positions=np.arange(len(users)),
        texts=EventTexts.none(len(users)),
        type_codes=np.array(events["type"]),
        event_time_ms=events["time_s"] * 1000,
        prices=np.expm1(events["log_price"]),
        event_hashes=np.arange(1, len(users) + 1, dtype=np.uint64) << np.uint64(64 - ID_BITS),
        item_codes=np.array(events["item"]),
        category_codes=np.array(events["category"]),
        token_codes=np.array(events["tokens"]),
        identifies=np.zeros(len(users), np.bool_),
        own=_own_columns(events, shop) if shop.has_own_events else None,
    )
    return append_events(new_sequences(count), np.array(users), batch, Source(0, np.arange(len(users))))


def _own_columns(events: npt.NDArray[np.void], shop: Shop) -> OwnColumns:
    """Return what the shop defines of its own of stored events; a type that it no longer has is a built-in one."""
    types = events["type"].copy()
    hashes = events["own_types"] if shop.types else np.zeros(len(events), np.uint16)
    for code, type_hash in enumerate(shop.type_hashes):
        if type_hash:
            types[hashes == type_hash] = code
    return OwnColumns(types, hashes, np.array(events["own_labels"]), np.array(events["own_numbers"]))
