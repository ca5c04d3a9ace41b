"""Shopify's export of orders: a row a line item, of which the first speaks for the order.

https://help.shopify.com/en/manual/fulfillment/managing-orders/exporting-orders
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

from model.events import Event
from model.formats.fields import Fields, known_or_none
from model.formats.json_rows import object_lines, parsed_object
from model.formats.mapping import definition_of, format_of
from model.formats.rows import InvalidRow, Line
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

_STATUS: Final = "order_status"
_SHOPPERS: Final = ("Customer ID", "Email", "Phone", "Billing Phone")
"""Who bought, the first that is there."""
UNDONE: Final = ("cancelled", "refunded", "voided", "expired")
"""What became of an order that is no purchase: it was called off, paid back, or never paid."""
FORMAT: Final = format_of(
    definition_of(
        {
            "fields": {
                "user_id": [*_SHOPPERS],
                "ts": ["Created at", "Paid at"],
                "type": _STATUS,
                "order_id": ["Name", "Id"],
                "item_id": ["Lineitem sku", "Lineitem name"],
                "price": "Lineitem price",
                "quantity": "Lineitem quantity",
                "context": {
                    "order_total": "Total",
                    "currency": "Currency",
                    "country": ["Shipping Country", "Billing Country"],
                    "channel": "Source",
                    "brand": "Vendor",
                    "order_status": _STATUS,
                },
            },
            "types": {**dict.fromkeys(UNDONE, "other"), "*": "purchase"},
        }
    )
)


@dataclass(frozen=True, slots=True)
class _Order:
    """What only an order's first row says of it."""

    name: object = None
    status: str = ""
    shopper: str | None = None


def read_rows(lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
    """Yield an event or a bad row per line; an order that is one of UNDONE, and each of its items, is of type other."""
    order = _Order()
    for line in object_lines(lines, FORMAT.columns):
        if isinstance(line, BadRow):
            yield line
            continue
        order, told = _told(line, order)
        yield from FORMAT.read_rows(iter([told]), shop)


def _told(line: Line, before: _Order) -> tuple[_Order, Line]:
    """Return a row's order, and the row with what the order's first row says."""
    try:
        fields = parsed_object(line[1], every_digit=True)
    except InvalidRow:
        return before, line
    order = _order_of(fields, before)
    said = {_STATUS: order.status}
    if order is before and order.shopper is not None:
        said[_SHOPPERS[0]] = order.shopper
    written = line[1].rstrip().removesuffix(b"}")  # as it stands: what can be read may be too deep to be written
    return order, (line[0], written + (b"," if fields else b"") + orjson.dumps(said)[1:])


def _order_of(fields: Fields, before: _Order) -> _Order:
    name = fields.get("Name") or fields.get("Id")
    if name is not None and name == before.name:
        return before
    shopper = next((found for column in _SHOPPERS if (found := known_or_none(fields.get(column)))), None)
    if fields.get("Cancelled at"):
        return _Order(name, "cancelled", shopper)
    written = str(fields.get("Financial Status") or "").lower()
    return _Order(name, written if written in UNDONE else "", shopper)
