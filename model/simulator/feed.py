"""The simulated shop's catalogue as its feed: a line an item, and another whenever it arrives or its stock changes."""

from collections.abc import Iterator

import msgspec
import numpy as np

from model.simulator.tastes import Tastes


class CatalogueLine(msgspec.Struct, frozen=True, gc=False):
    """An item as it is from a time on."""

    item_id: str
    title: str
    description: str
    category: str
    brand: str
    price: float
    in_stock: bool
    vector: list[float]
    """Of its picture."""
    ts: int
    """Epoch milliseconds since when."""
    added_at: int
    """Epoch milliseconds since when the shop has the item at all."""


def catalogue_lines(tastes: Tastes, until_ms: int) -> Iterator[CatalogueLine]:
    """Yield what the shop says of its items up to a time, in order; the last line of an item counts."""
    stock = tastes.stock
    before = np.zeros(len(tastes.catalogue.item_ids), np.bool_)
    for day in range(int(stock.day_of(np.array(until_ms))) + 1):
        for_sale = stock.for_sale(np.array([day]))[0]
        changed = (for_sale != before) | (stock.arrival_days == day)
        for item in np.flatnonzero(changed & (stock.arrival_days <= day)).tolist():
            yield _line(tastes, item, in_stock=bool(for_sale[item]), ts=stock.start_of(day))
        before = for_sale


def _line(tastes: Tastes, item: int, *, in_stock: bool, ts: int) -> CatalogueLine:
    catalogue, styles = tastes.catalogue, tastes.styles
    category = catalogue.category_names[catalogue.categories_of(np.array(item))]
    return CatalogueLine(
        item_id=catalogue.item_ids[item],
        title=styles.title(item, category),
        description=styles.description(item, category),
        category=category,
        brand=styles.brand(item),
        price=float(catalogue.prices[item]),
        in_stock=in_stock,
        vector=styles.vectors[item].tolist(),
        ts=ts,
        added_at=tastes.stock.start_of(int(tastes.stock.arrival_days[item])),
    )
