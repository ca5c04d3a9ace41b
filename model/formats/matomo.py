"""Matomo's visits with their actions, as `Live.getLastVisitsDetails` returns them; one visit an object.

https://developer.matomo.org/api-reference/reporting-api
"""

from collections.abc import Mapping
from typing import Any, Final

from model.events import Event
from model.formats.fields import (
    Fields,
    first_id,
    flat_context,
    ids_of_shopper,
    number,
    objects_in,
    optional_id,
    optional_text,
    plain_amount,
    required_id,
)
from model.formats.json_rows import JsonFormat
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow, content_id, order_event_id
from model.formats.times import unix_ms

TYPES: Final = {"ecommerceOrder": "purchase", "ecommerceAbandonedCart": "cart", "search": "search"}
"""Canonical types by the action's; of a page with a product also `view`."""
_PRODUCT: Final = {
    "itemSKU": "productViewSku",
    "itemName": "productViewName",
    "itemCategory": "productViewCategories",
    "price": "productViewPrice",
}
"""An order's names for what a page about a product has, too."""


def _split(visit: Fields) -> list[Fields]:
    if "actionDetails" not in visit:
        raise InvalidRow("actionDetails", "actionDetails is missing")
    user, anonymous_id = ids_of_shopper(visit, "userId", "visitorId")
    shared = {"visit": visit, "user": user, "anonymous": anonymous_id}
    return [action | shared for action in objects_in(visit, "actionDetails")]


def _event(action: Fields, own_types: Mapping[str, str] = {}) -> Event:
    kind = required_id("type", action.get("type"))
    name = _name(action)
    product = _product(action)
    event_type = own_types.get(name) or TYPES.get(kind) or ("view" if product else "other")
    ts = unix_ms("timestamp", required_id("timestamp", action.get("timestamp")), "seconds")
    order = optional_id("orderId", action.get("orderId"))
    item = first_id(product, "itemSKU", "itemName") if event_type != "other" else None
    page = first_id(action, "pageId", "idpageview", "pageIdAction", "url")
    return Event(
        event_id=(order_event_id(order) if event_type == "purchase" else None)
        or content_id(str(ts), name, item or "", page or "", action["user"]),
        user_id=action["user"],
        type=event_type,
        ts=ts,
        item_id=item,
        category=_category(product.get("itemCategory")) if item else None,
        price=number("price", product.get("price"), least=0),
        quantity=number("quantity", product.get("quantity")),
        text=optional_text("siteSearchKeyword", action.get("siteSearchKeyword")),
        anonymous_id=action["anonymous"],
        context=_context(action, order, name if event_type == "other" else None),
    )


def _name(action: Fields) -> str:
    """Return what a shop may call the action: an event's own name, else its type."""
    return str(action.get("eventAction") or action["type"]) if action["type"] == "event" else str(action["type"])


def _product(action: Fields) -> Fields:
    """Return the first product of an order, or the one that a page is about."""
    if items := objects_in(action, "itemDetails"):
        return items[0]
    return {name: action[on_page] for name, on_page in _PRODUCT.items() if action.get(on_page)}


def _category(given: Any) -> str | None:  # noqa: ANN401 - any JSON
    return optional_id(
        "itemCategory", given[0] if isinstance(given, list) and given else None if given == [] else given
    )


def _context(action: Fields, order: str | None, other_name: str | None) -> dict[str, str] | None:
    visit = action["visit"]
    return flat_context(
        {
            "event": other_name,
            "device": visit.get("deviceType"),
            "channel": visit.get("referrerType"),
            "country": visit.get("country"),
            "order_id": order,
            "order_total": plain_amount(action.get("revenue")) if order else None,
            "session": visit.get("idVisit"),
        }
    )


_OWN: Final = OwnReading(_name, lambda action: action)
FORMAT: Final = JsonFormat(_split, _event, _OWN)
