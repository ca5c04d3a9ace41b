"""Shopify's export of orders: a row a line item, of which the first speaks for the order.

https://help.shopify.com/en/manual/fulfillment/managing-orders/exporting-orders
"""

from collections.abc import Iterator
from typing import Final

from model.events import Event
from model.formats.fields import Fields
from model.formats.json_rows import object_lines, parsed_object
from model.formats.mapping import definition_of, format_of
from model.formats.rows import InvalidRow, Line
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

_STATUS: Final = "order_status"
UNDONE: Final = ("cancelled", "refunded", "voided", "expired")
"""What became of an order that is no purchase: it was called off, paid back, or never paid."""
FORMAT: Final = format_of(
    definition_of(
        {
            "fields": {
                "user_id": ["Customer ID", "Email", "Phone", "Billing Phone"],
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


def read_rows(lines: Iterator[Line], shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
    """Yield an event or a bad row per line; an order that is one of UNDONE, and each of its items, is of type other."""
    order: tuple[object, str] = (None, "")
    for line in object_lines(lines, FORMAT.columns):
        if isinstance(line, BadRow):
            yield line
            continue
        order, told = _told(line, order)
        yield from FORMAT.read_rows(iter([told]), shop)


def _told(line: Line, before: tuple[object, str]) -> tuple[tuple[object, str], Line]:
    """Return a row's order and what became of it, and the row with it; only an order's first row says so."""
    try:
        fields = parsed_object(line[1], every_digit=True)
    except InvalidRow:
        return before, line
    order = _status(fields, before)
    written = line[1].rstrip().removesuffix(b"}")  # as it stands: what can be read may be too deep to be written
    return order, (line[0], b'%s%s"%s":"%s"}' % (written, b"," if fields else b"", _STATUS.encode(), order[1].encode()))


def _status(fields: Fields, before: tuple[object, str]) -> tuple[object, str]:
    order = fields.get("Name") or fields.get("Id")
    if order is not None and order == before[0]:
        return before
    if fields.get("Cancelled at"):
        return order, "cancelled"
    written = str(fields.get("Financial Status") or "").lower()
    return order, written if written in UNDONE else ""
