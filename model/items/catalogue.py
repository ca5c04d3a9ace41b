"""All items as arrays: what the shop says of them, those that only events name, and each one's vector.

One thread puts and removes what the items topic says; threads that score add what events name; any thread reads. A
reader takes a `View` and works on it: rows that are added later are not in it. Rows that change, change in it: for a
moment an item may have its new vector and its old price.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from model.core.byte_strings import ByteStrings
from model.core.catalogue_rows import RowsByCode, Texts, spans_of
from model.core.rank_items import Shelf, quantize
from model.core.slots import Distinct, Slots, grown
from model.items.columns import ItemColumns, columns_of
from model.items.item import LEVELS, Item

EVENTS_ONLY: Final = 0
IN_CATALOGUE: Final = 1
REMOVED: Final = 2
"""Where an item is known from: `View.states`."""

OUT_OF_STOCK: Final = 0
IN_STOCK: Final = 1
UNKNOWN_STOCK: Final = -1

MOST_LEARNED: Final = 1_000_000
"""Items that only events name, and that are kept: anybody may send events of items that do not exist."""
_FIRST_ROWS: Final = 1024
_MOST_TITLE_BYTES: Final = 255

_Said = tuple[str, str | None, str | None, float | None]
_encode: Final = msgspec.json.Encoder().encode
_decode_said: Final = msgspec.json.Decoder(_Said).decode

Embed = Callable[[ItemColumns], npt.NDArray[np.float32]]
"""Makes items' vectors `(items, dimension)`."""


def no_vectors(columns: ItemColumns) -> npt.NDArray[np.float32]:
    """Return vectors of no numbers: what a worker embeds items with whose model knows nothing of items."""
    return np.empty((len(columns), 0), np.float32)


class KnownItem(NamedTuple):
    """One row, in words."""

    item_id: str
    title: str | None
    """Its first 255 bytes."""
    category: str | None
    brand: str | None
    price: float | None
    in_stock: bool | None
    state: int
    """EVENTS_ONLY, IN_CATALOGUE or REMOVED."""


@dataclass(frozen=True, slots=True)
class View:
    """The rows that there were when it was taken; every array has one entry per item."""

    codes: npt.NDArray[np.uint32]
    """`(items,)`, as are all that say nothing else."""
    categories: npt.NDArray[np.uint16]
    """As in `ItemColumns`."""
    levels: npt.NDArray[np.uint16]
    """`(items, LEVELS)`, as in `ItemColumns`."""
    brands: npt.NDArray[np.uint16]
    stock: npt.NDArray[np.int8]
    """OUT_OF_STOCK, IN_STOCK or UNKNOWN_STOCK."""
    states: npt.NDArray[np.uint8]
    """EVENTS_ONLY, IN_CATALOGUE or REMOVED."""
    vectors: npt.NDArray[np.float32]
    """`(items, dimension)`."""
    quantized: npt.NDArray[np.int8]
    """As in `Shelf`, `(items, dimension)`; so are the next two."""
    steps: npt.NDArray[np.float32]
    slack: npt.NDArray[np.float32]
    _rows: RowsByCode
    _catalogue: "Catalogue"

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def can_be_ordered(self) -> npt.NDArray[np.bool_]:
        """Which items are neither removed nor out of stock `(items,)`."""
        can: npt.NDArray[np.bool_] = (self.states != REMOVED) & (self.stock != OUT_OF_STOCK)
        return can

    def find(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Return the rows of items `(codes,)` by `item_code`, -1 for those that are not known."""
        rows = self._rows.find(codes)
        rows[rows >= len(self)] = -1
        return rows

    @property
    def shelf(self) -> Shelf:
        """What the items are ranked by."""
        return Shelf(self.vectors, self.quantized, self.steps, self.slack, self.categories)

    def items(self, rows: Sequence[int]) -> list[KnownItem]:
        """Return what is known of some items."""
        return self._catalogue.known_items(rows)

    def said(self, rows: npt.NDArray[np.int64]) -> ByteStrings:
        """Return what can be said of some items `(rows,)`, as JSON: `[item_id, title, category, price]`."""
        return self._catalogue.said(rows)


class _Names:
    """Numbers texts of which many rows have the same: brands."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: 0}
        self.names: list[str | None] = [None]

    def number(self, name: str | None) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.names)
            self.names.append(name)
        return found


class Catalogue:
    """Items by row, in the order in which they came; a row stays its item's for ever."""

    def __init__(self, dimension: int, embed: Embed, vector_dimension: int | None = None) -> None:
        """Items get vectors of `dimension` numbers from `embed`.

        Those that the shop makes have `vector_dimension` numbers, or all as many as the first if that is None.
        """
        self._embed = embed
        self.vector_dimension = vector_dimension
        self._lock = Lock()
        self._ids = Slots()
        self._rows = RowsByCode()
        self._said = Texts()
        self._brand_names = _Names()
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "codes": np.empty(_FIRST_ROWS, np.uint32),
            "categories": np.zeros(_FIRST_ROWS, np.uint16),
            "levels": np.zeros((_FIRST_ROWS, LEVELS), np.uint16),
            "brands": np.zeros(_FIRST_ROWS, np.uint16),
            "stock": np.empty(_FIRST_ROWS, np.int8),
            "states": np.empty(_FIRST_ROWS, np.uint8),
            "vectors": np.empty((_FIRST_ROWS, dimension), np.float32),
            "quantized": np.empty((_FIRST_ROWS, dimension), np.int8),
            "steps": np.empty(_FIRST_ROWS, np.float32),
            "slack": np.empty(_FIRST_ROWS, np.float32),
        }
        self._brand_numbers = np.zeros(_FIRST_ROWS, np.int32)
        self._is_read = np.zeros(_FIRST_ROWS, np.bool_)
        """Which rows the topic has named since `begin`."""
        self.view = self._new_view()
        """The rows of now; whoever works on several arrays takes it once."""

    def put(self, items: Sequence[Item]) -> None:
        """Add items, or replace what is known of them; of an id that is there twice the last counts. One thread only.

        Their vectors must have the catalogue's length (`Item.with_dimension`).
        """
        newest = list({item.item_id: item for item in items}.values())
        if not newest:
            return
        columns = columns_of(newest, self.vector_dimension)
        if columns.dimension:
            self.vector_dimension = columns.dimension
        vectors = self._embed(columns)
        with self._lock:
            rows = self._rows_of([item.item_id.encode() for item in newest], columns.codes)
            self._store(rows, columns, vectors)
            stock = [UNKNOWN_STOCK if item.in_stock is None else int(item.in_stock) for item in newest]
            self._arrays["stock"][rows] = stock
            self._brand_numbers[rows] = [self._brand_names.number(item.brand) for item in newest]
            for row, item in zip(rows.tolist(), newest, strict=True):
                self._said.put(row, _encode((item.item_id, _cut(item.title), item.category, item.price)))
            self._arrays["states"][rows] = IN_CATALOGUE
            self._is_read[rows] = True
            self.view = self._new_view()

    def remove(self, item_ids: Sequence[bytes]) -> None:
        """Take items away; what events say of them later changes nothing."""
        distinct = Distinct.of(item_ids)
        with self._lock:
            rows = self._ids.find(distinct)
            self._arrays["states"][rows[rows >= 0]] = REMOVED

    def learn(
        self,
        codes: npt.NDArray[np.uint32],
        item_ids: Sequence[str | None],
        categories: npt.NDArray[np.uint16] | None = None,
    ) -> None:
        """Add those items of events that are not known `(events,)`; any thread may call it.

        `categories` are the codes of the events' categories. At most MOST_LEARNED are kept.
        """
        unknown = np.flatnonzero((self.view.find(codes) < 0) & (codes > 0))
        room = MOST_LEARNED - self.count(EVENTS_ONLY) if len(unknown) else 0
        if room <= 0:
            return
        places = {item_ids[place] or "": place for place in unknown.tolist()}
        columns = columns_of([Item(item_id) for item_id in places], self.vector_dimension)
        if categories is not None:
            columns = replace(columns, categories=categories[list(places.values())])
        self.add_described(columns, list(places), room)

    def add_described(self, columns: ItemColumns, item_ids: Sequence[str], most: int | None = None) -> None:
        """Add those of some distinct items `(items,)` that are not known, at most so many, as items of events only."""
        vectors = self._embed(columns)
        ids = [item_id.encode() for item_id in item_ids]
        with self._lock:
            new = np.flatnonzero(self._ids.find(Distinct.of(ids)) < 0)[:most]
            columns = columns.take(new)
            rows = self._rows_of([ids[place] for place in new.tolist()], columns.codes)
            self._store(rows, columns, vectors[new])
            for row, place in zip(rows.tolist(), new.tolist(), strict=True):
                self._said.put(row, _encode((item_ids[place], None, None, None)))
            self.view = self._new_view()

    def begin(self) -> None:
        """Note that the topic is read from its beginning."""
        with self._lock:
            self._is_read[:] = False

    def complete(self) -> None:
        """Note that the topic was read to its end: what it did not name since `begin` is not in it any more."""
        with self._lock:
            states = self._arrays["states"][: len(self._ids)]
            states[(states == IN_CATALOGUE) & ~self._is_read[: len(states)]] = REMOVED

    def count(self, state: int) -> int:
        """Return how many items are EVENTS_ONLY, IN_CATALOGUE or REMOVED."""
        return int(np.count_nonzero(self.view.states == state))

    def row_of(self, item_id: str) -> int:
        """Return an item's row, -1 if it is not known."""
        with self._lock:
            return self._ids.slot(item_id.encode())

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return items' rows `(items,)`, -1 for those that are not known."""
        distinct = Distinct.of([item_id.encode() for item_id in item_ids])
        with self._lock:
            return self._ids.find(distinct)[distinct.index]

    def known_items(self, rows: Sequence[int]) -> list[KnownItem]:
        """Return what is known of the items of some rows."""
        chosen = np.asarray(rows, np.int64)
        said = [_decode_said(each or b"") for each in self.said(chosen)]
        with self._lock:
            stock, states, brands = (
                column[chosen].tolist()
                for column in (self._arrays["stock"], self._arrays["states"], self._brand_numbers)
            )
            return [
                KnownItem(
                    *(item_id, title, category, self._brand_names.names[brand], price),
                    in_stock=None if in_stock == UNKNOWN_STOCK else bool(in_stock),
                    state=state,
                )
                for (item_id, title, category, price), brand, in_stock, state in zip(
                    said, brands, stock, states, strict=True
                )
            ]

    def said(self, rows: npt.NDArray[np.int64]) -> ByteStrings:
        """Return what can be said of the items of some rows, as in `View`."""
        with self._lock:  # what is in the buffer stays as it is; what is put later lies behind, or in another one
            return ByteStrings(self._said.buffer, spans_of(self._said.places[rows]))

    def _rows_of(self, ids: Sequence[bytes], codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Return the rows of distinct ids; new ones are made, of which nothing is known but the code."""
        known = len(self._ids)
        distinct = Distinct.of(ids)
        rows = self._ids.add(distinct, self._ids.find(distinct))
        count = len(self._ids)
        if count > len(self._is_read):
            self._arrays = {name: grown(array, count) for name, array in self._arrays.items()}
            self._brand_numbers = grown(self._brand_numbers, count)
            self._is_read = grown(self._is_read, count)
        new = slice(known, count)
        self._arrays["stock"][new], self._arrays["states"][new] = UNKNOWN_STOCK, EVENTS_ONLY
        self._brand_numbers[new] = 0
        self._is_read[new] = False
        self._said.make_rows(count)
        self._rows.add(codes[rows >= known])
        return rows

    def _store(self, rows: npt.NDArray[np.int64], columns: ItemColumns, vectors: npt.NDArray[np.float32]) -> None:
        for name in ("codes", "categories", "levels", "brands"):
            self._arrays[name][rows] = getattr(columns, name)
        self._arrays["vectors"][rows] = vectors
        self._arrays["quantized"][rows], self._arrays["steps"][rows], self._arrays["slack"][rows] = quantize(vectors)

    def _new_view(self) -> View:
        count = len(self._ids)
        arrays: dict[str, Any] = {name: array[:count] for name, array in self._arrays.items()}
        return View(**arrays, _rows=self._rows, _catalogue=self)


def _cut(title: str | None) -> str | None:
    """Return a title's first bytes, as many as are kept, without half a character; None if there is nothing."""
    return (title or "").encode()[:_MOST_TITLE_BYTES].decode(errors="ignore") or None
