"""Lists of products that a page showed, in events of other systems."""

import math
from collections.abc import Sequence
from contextlib import suppress

from model.formats.fields import Fields, first_id, number
from model.formats.rows import InvalidRow
from model.validate import InvalidEvent, check_shown


def shown_items(products: Sequence[Fields], ids: Sequence[str], position: str) -> list[str] | None:
    """Return the ids of products in the order shown, None if none has an id.

    The order is that of the field `position`, if all have a number there, else the products' own. Raises InvalidRow.
    """
    items = [(_place(product.get(position)), first_id(product, *ids)) for product in products]
    if all(math.isfinite(place) for place, _ in items):
        items.sort(key=lambda item: item[0])
    if not (found := [item_id for _, item_id in items if item_id is not None]):
        return None
    try:
        check_shown(found)
    except InvalidEvent as invalid:
        raise InvalidRow(invalid.reason, invalid.error) from None
    return found


def _place(given: object) -> float:
    """Return a position, NaN for none: what is wrong with it makes no event bad."""
    place = None
    with suppress(InvalidRow):
        place = number("position", given)
    return math.nan if place is None else place
