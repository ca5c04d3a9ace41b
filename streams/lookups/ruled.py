"""Rules of a shop, as arrays over the items of a catalogue's view."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from model.arrays import Booleans, Integers
from model.batch import id_code
from model.core.rank_items import Pins
from model.items.catalogue import OUT_OF_STOCK, Catalogue, View
from model.items.columns import brand_code
from model.items.item import levels_of
from model.text import token_code
from streams.lookups.item_query import ItemQuery
from streams.lookups.item_rules import ItemRules

_NO_PINS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Ruled:
    """What rules say of each item of a view."""

    rules: ItemRules
    view: View
    may_be_shown: Booleans
    """Which are not those that are never shown `(items,)`."""
    boosts: npt.NDArray[np.float32]
    """What is added to the logits `(items,)`; empty without boosts."""
    pinned: Integers
    """The rows of the rules' pins `(pins,)`, -1 for an item that is not known."""

    @classmethod
    def of(cls, rules: ItemRules, catalogue: Catalogue, view: View) -> Self:
        """Find the items of rules."""
        may_be_shown = np.ones(len(view), np.bool_)
        may_be_shown[_rows(catalogue, view, rules.never.items)] = False
        for brand in rules.never.brands:
            may_be_shown &= view.brands != brand_code(brand)
        for category in rules.never.categories:
            may_be_shown &= ~in_category(view, category)
        boosts = np.zeros(len(view) if rules.boosts else 0, np.float32)
        for boost in rules.boosts:
            if boost.item is not None:
                boosts[_rows(catalogue, view, [boost.item])] += boost.by
            elif boost.brand is not None:
                boosts[view.brands == brand_code(boost.brand)] += boost.by
            elif boost.category is not None:
                boosts[in_category(view, boost.category)] += boost.by
        pinned = catalogue.rows_of([pin.item for pin in rules.pins]) if rules.pins else _NO_PINS
        return cls(rules, view, may_be_shown, boosts, np.where(pinned < len(view), pinned, -1))

    def pins(self, query: ItemQuery) -> Pins:
        """Return the pins that are for a query, without items that are sold out."""
        found = sorted(
            (pin.place, row)
            for pin, row in zip(self.rules.pins, self.pinned.tolist(), strict=True)
            if row >= 0
            and pin.place <= query.k
            and pin.applies(query.goal, query.category)
            and self.view.stock[row] != OUT_OF_STOCK
        )
        places, rows = np.array(found, np.int64).reshape(-1, 2).T
        return Pins(places.copy(), rows.copy())


def in_category(view: View, category: str) -> Booleans:
    """Return which items are of a category or below it `(items,)`, as the catalogue or events write it."""
    paths = levels_of(category)
    is_in: Booleans = view.categories == id_code(category)
    return is_in | (view.levels[:, len(paths) - 1] == token_code(paths[-1])) if paths else is_in


def _rows(catalogue: Catalogue, view: View, item_ids: Sequence[str]) -> Integers:
    """Return the rows of those of some items that a view has."""
    rows = catalogue.rows_of(item_ids)
    return rows[(rows >= 0) & (rows < len(view))]
