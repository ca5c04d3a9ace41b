"""Segment's e-commerce calls, one a line: https://segment.com/docs/connections/spec/ecommerce/v2/.

Track calls of the specification's events, also under their names of version 1 (`Viewed Product`) and in other
spellings (`product_viewed`, `ProductViewed`); every other track call, and every page and screen call, is an event of
type `other`.
A call with both `userId` and `anonymousId` says that these are one shopper; identify and alias calls say nothing else.
Group calls are no events: nobody did anything.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from model.events import IDENTIFY, IMPRESSION, Event
from model.formats.fields import (
    CONSENT,
    Fields,
    first_id,
    flat_context,
    ids_of_shopper,
    in_snake_case,
    inside,
    known_or_none,
    number,
    object_in,
    objects_in,
    optional_id,
    optional_text,
    plain_amount,
    required_id,
)
from model.formats.json_rows import JsonFormat, whole_id
from model.formats.lists import shown_items
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow, order_event_id
from model.formats.times import moment_ms, unix_ms

BEHAVIOUR_CALLS: Final = ("track", "page", "screen")
_IDENTITY_CALLS: Final = {"identify": "anonymousId", "alias": "previousId"}
"""What a call that joins two ids calls the one that is not `userId`."""

TYPES: Final = {
    "product list viewed": "view",
    "product list filtered": "view",
    "product clicked": "view",
    "product viewed": "view",
    "products searched": "search",
    "product added to wishlist": "favorite",
    "product added": "cart",
    "wishlist product added to cart": "cart",
    "product removed": "remove_from_cart",
    "checkout started": "checkout",
    "checkout step viewed": "checkout",
    "checkout step completed": "checkout",
    "payment info entered": "checkout",
    "order completed": "purchase",
    "product reviewed": "review",
    "order refunded": "refund",
    "viewed product category": "view",
    "viewed product": "view",
    "searched products": "search",
    "added product": "cart",
    "removed product": "remove_from_cart",
    "started order": "checkout",
    "viewed checkout step": "checkout",
    "completed checkout step": "checkout",
    "completed order": "purchase",
    "refunded order": "refund",
}
"""Canonical types by the event's name in small letters."""
_NO_LETTER: Final = re.compile(r"[^a-z]+")
_TYPES: Final = {_NO_LETTER.sub("", name): event_type for name, event_type in TYPES.items()}
"""The same by the name's letters alone, however it is spelt."""
_LIST_VIEWED: Final = "productlistviewed"
"""Of an event that is an impression if it says which products were in the list."""

_PURCHASE: Final = "purchase"
_IDENTIFIES: Final = ("type", "event", "name", "userId", "anonymousId", "timestamp", "originalTimestamp", "properties")
_OF_A_WAREHOUSE: Final = frozenset({"user_id", "anonymous_id"})
_WAREHOUSE_TIMES: Final = {
    "timestamp": "timestamp",
    "originalTimestamp": "original_timestamp",
    "sentAt": "sent_at",
    "receivedAt": "received_at",
}
_COLUMNS: Final = frozenset({"event", "userid", "anonymousid", "messageid", "user_id", "anonymous_id", "event_text"})
_OF_AN_ORDER: Final = frozenset({"checkout", "purchase", "refund"})
_PRODUCT_IDS: Final = frozenset({"product_id", "sku", "id"})
_OF_PRODUCTS: Final = _OF_AN_ORDER | {"cart", "remove_from_cart", "favorite"}
_TIMES: Final = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_WORDS: Final = {"search": ("query", "search_term"), "review": ("review_body", "review", "text")}


def _split(line: Fields) -> list[Fields]:
    """Return the calls of a batch, as the HTTP API takes them, or the call that the line is."""
    if "event" in line and "type" not in line and _OF_A_WAREHOUSE.intersection(line):
        return [_of_a_warehouse(line)]
    if "batch" not in line or "type" in line:
        return [line]
    shared = {name: line[name] for name in ("context", "timestamp", "sentAt", "receivedAt") if name in line}
    return [shared | call for call in objects_in(line, "batch")]


def _of_a_warehouse(row: Fields) -> Fields:
    """Return the track call that a row of a warehouse's table was made from; its properties are columns."""
    return {
        "type": "track",
        "event": row.get("event_text") or row["event"],
        "messageId": row.get("id") or row.get("message_id"),
        "userId": row.get("user_id"),
        "anonymousId": row.get("anonymous_id"),
        **{camel: row.get(snake) for camel, snake in _WAREHOUSE_TIMES.items()},
        "properties": {name: one for name, one in row.items() if name != "id"},
        "context": {
            "device": {"type": row.get("context_device_type")},
            "campaign": {"medium": row.get("context_campaign_medium"), "name": row.get("context_campaign_name")},
            "locale": row.get("context_locale"),
        },
    }


def to_event(call: Fields, own_types: Mapping[str, str] = {}) -> Event:
    """Return the event of a call, or raise InvalidRow; `own_types` as in ToEvent."""
    event_type = _type(call, own_types)
    properties = in_snake_case(object_in(call, "properties"))
    product = _product(event_type, properties)
    items = None if call.get("event") in own_types else _shown(call, properties)
    user_id, anonymous_id = _ids(call)
    return Event(
        event_id=_event_id(call, event_type, properties),
        user_id=user_id,
        type=IMPRESSION if items else event_type,
        ts=_time_ms(call),
        item_id=first_id(product, "product_id", "sku", "id"),
        category=optional_id("category", product.get("category")),
        price=number("price", product.get("price"), least=0),
        quantity=number("quantity", product.get("quantity")),
        rating=number("rating", properties.get("rating")) if event_type == "review" else None,
        text=_words(event_type, properties),
        anonymous_id=anonymous_id,
        context=_context(event_type, call, properties),
        items=items,
        model_version=optional_id("model_version", properties.get("model_version")) if items else None,
        placement=first_id(properties, "placement", "list_id") if items else None,
    )


def _shown(call: Fields, properties: Fields) -> list[str] | None:
    """Return the products of a list that was viewed, in the order shown; None of other calls, and of one without."""
    if call["type"] != "track" or _letters(str(call.get("event"))) != _LIST_VIEWED:
        return None
    products = [in_snake_case(product) for product in objects_in(properties, "products")]
    return shown_items(products, ("product_id", "sku", "id"), "position")


def _event_id(call: Fields, event_type: str, properties: Fields) -> str:
    """Return the order's id of a purchase, else the call's own, else one of what a call that is sent again repeats."""
    order = None
    if event_type == _PURCHASE:
        name = str(call["event"])
        order_id = optional_id("order_id", properties.get("order_id"))
        order = order_event_id(order_id, _PURCHASE if _built_in_type(name) == _PURCHASE else name)
    return (
        order or optional_id("messageId", call.get("messageId")) or whole_id([call.get(field) for field in _IDENTIFIES])
    )


def _type(call: Fields, own_types: Mapping[str, str]) -> str:
    kind = call.get("type")
    if isinstance(kind, str) and kind in _IDENTITY_CALLS:
        return IDENTIFY
    if kind not in BEHAVIOUR_CALLS:
        known = ", ".join([*BEHAVIOUR_CALLS, *_IDENTITY_CALLS])
        raise InvalidRow("type", f"type is none of {known}: the call is nothing a shopper did")
    if kind != "track":
        return "other"
    name = required_id("event", call.get("event"))
    return own_types.get(name) or _built_in_type(name)


def _ids(call: Fields) -> tuple[str, str | None]:
    """Return the user's id and the anonymous one; raises InvalidRow for an identity call without two different ids."""
    if (anonymous := _IDENTITY_CALLS.get(call["type"])) is None:
        return ids_of_shopper(call, "userId", "anonymousId")
    user_id, anonymous_id = (required_id(name, call.get(name)) for name in ("userId", anonymous))
    if user_id == anonymous_id:
        raise InvalidRow(anonymous, f"{anonymous} is the userId: the {call['type']} call joins nobody")
    return user_id, anonymous_id


@lru_cache(maxsize=1024)
def _built_in_type(name: str) -> str:
    return _TYPES.get(_letters(name), "other")


def _letters(name: str) -> str:
    return _NO_LETTER.sub("", name.lower())


def _product(event_type: str, properties: Fields) -> Fields:
    """Return what holds the product: an order's products are in a list, of which the first one speaks for it.

    Of a call that is no shopping nothing is read, so that nothing in it can be wrong.
    """
    if event_type == "other":
        return {}
    if event_type in _OF_AN_ORDER or (event_type in _OF_PRODUCTS and not _PRODUCT_IDS & properties.keys()):
        products = objects_in(properties, "products")
        return in_snake_case(products[0]) if products else properties
    return properties


def _time_ms(call: Fields) -> int:
    name = next((name for name in _TIMES if call.get(name) is not None), "timestamp")
    given = call.get(name)
    if isinstance(given, int):
        return unix_ms(name, str(given), "milliseconds")
    return moment_ms(name, required_id(name, given))


def _words(event_type: str, properties: Fields) -> str | None:
    names = _WORDS.get(event_type, ())
    return next((words for name in names if (words := optional_text(name, properties.get(name)))), None)


def _context(event_type: str, call: Fields, properties: Fields) -> dict[str, str] | None:
    """Return what analysts group by; of other events also what they were."""
    given, products = call.get("context"), properties.get("products")
    surroundings = given if isinstance(given, dict) else {}
    return flat_context(
        {
            "event": (call.get("event") or call.get("name") or call["type"]) if event_type == "other" else None,
            "device": inside(surroundings, "device", "type"),
            "channel": inside(surroundings, "campaign", "medium"),
            "campaign": inside(surroundings, "campaign", "name"),
            "country": inside(surroundings, "location", "country"),
            "language": surroundings.get("locale"),
            "brand": properties.get("brand"),
            "order_id": known_or_none(properties.get("order_id")),
            "order_total": plain_amount(properties.get("total") or properties.get("revenue")),
            "order_products": len(products) if isinstance(products, list) and event_type in _OF_AN_ORDER else None,
            "currency": properties.get("currency"),
            CONSENT: surroundings.get(CONSENT),
        }
    )


_OWN: Final = OwnReading(
    lambda call: call.get("event"), lambda call: call, ("properties",), frozenset({"properties", "context"})
)
FORMAT: Final = JsonFormat(_split, to_event, _OWN, _COLUMNS)
