"""A shop's definition as the compiled scanner reads it: tables, so that one compiled loop serves every shop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.attributes import Places
from model.events import TYPE_CODES
from model.shop import NO_SHOP, Shop

_LONGEST_PATH: Final = 2
"""What is deeper than an object in the event is never in an event of plain shape."""


@dataclass(frozen=True, slots=True)
class NameTable:
    """Some names as bytes."""

    names: npt.NDArray[np.uint8]
    """`(names, longest)`"""
    lengths: npt.NDArray[np.int64]
    """`(names,)`"""

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """Make the table of some names."""
        written = [name.encode() for name in names]
        table = np.zeros((len(written), max(map(len, written), default=1)), np.uint8)
        for row, name in enumerate(written):
            table[row, : len(name)] = list(name)
        return cls(table, np.array([len(name) for name in written], np.int64))


@dataclass(frozen=True, slots=True)
class ShopTables:
    """What reading an event asks of a shop."""

    shop: Shop
    places: Places
    """Of attributes, for events that are not scanned."""
    types: NameTable
    behaves: npt.NDArray[np.uint8]
    """The built-in code of each type `(types,)`."""
    type_hashes: npt.NDArray[np.uint16]
    """What a state holds of each type `(types,)`."""
    objects: NameTable
    """Names of the objects in an event that may hold attributes."""
    names: NameTable
    """Names of the fields that may, one per row of `entries`."""
    entries: npt.NDArray[np.int64]
    """Object (0 for the event itself, else its row in `objects` plus 1), attribute, and 1 if it only stands in for
    another field `(entries, 3)`."""
    columns: npt.NDArray[np.int64]
    """Per attribute whether it is categorical, and its column among those of its kind `(attributes, 2)`."""

    @classmethod
    def of(cls, shop: Shop) -> Self:
        """Make the tables for canonical events."""
        places = Places.canonical(shop)
        found = [
            (path, attribute, int(rank > 0))
            for attribute, (_, _, paths) in enumerate(places.attributes)
            for rank, path in enumerate(paths)
            if len(path) <= _LONGEST_PATH
        ]
        objects = list(dict.fromkeys(path[0] for path, _, _ in found if len(path) == _LONGEST_PATH))
        entries = [(objects.index(path[0]) + 1 if len(path) == _LONGEST_PATH else 0, *of) for path, *of in found]
        kinds = [is_categorical for _, is_categorical, _ in places.attributes]
        columns = [(kind, kinds[:place].count(kind)) for place, kind in enumerate(kinds)]
        return cls(
            shop,
            places,
            NameTable.of(shop.event_types),
            np.array([TYPE_CODES[like] for like in shop.behaves_like], np.uint8),
            np.array(shop.type_hashes, np.uint16),
            NameTable.of(objects),
            NameTable.of([path[-1] for path, _, _ in found]),
            np.array(entries, np.int64).reshape(-1, 3),
            np.array(columns, np.int64).reshape(-1, 2),
        )


NO_TABLES: Final = ShopTables.of(NO_SHOP)
