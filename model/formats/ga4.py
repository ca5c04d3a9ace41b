"""Google Analytics 4: rows of the BigQuery export and payloads of the Measurement Protocol, as JSON lines.

A payload holds any number of events, a row of the export holds one. Of the recommended e-commerce events each has a
canonical type; every other one, `page_view` and `session_start` among them, is an event of type `other`.
https://support.google.com/analytics/answer/7029846
https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference
"""

from collections.abc import Mapping
from typing import Any, Final

from model.events import IMPRESSION, Event
from model.formats.fields import (
    CONSENT,
    Fields,
    first_id,
    flat_context,
    ids_of_shopper,
    inside,
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
from model.formats.times import unix_ms

TYPES: Final = {
    "view_item": "view",
    "view_item_list": "view",
    "select_item": "view",
    "search": "search",
    "view_search_results": "search",
    "add_to_wishlist": "favorite",
    "add_to_cart": "cart",
    "remove_from_cart": "remove_from_cart",
    "begin_checkout": "checkout",
    "add_shipping_info": "checkout",
    "add_payment_info": "checkout",
    "purchase": "purchase",
    "ecommerce_purchase": "purchase",
    "in_app_purchase": "purchase",
    "refund": "refund",
}
"""Canonical types by the event's name."""

_NOT_SET: Final = "(not set)"
_ITEM_COLUMNS: Final = frozenset({"item_id", "item_name"})
_OF_MANY_ITEMS: Final = frozenset({"view_item_list", "view_search_results", "search"})
_LISTS: Final = {
    "view_item_list": ("placement", "item_list_id", "item_list_name"),
    "view_promotion": ("placement", "creative_slot", "location_id", "promotion_id"),
}
"""Events that are impressions if they have items, and the parameters that say where, of the event or its first item."""
_OF_ITEMS: Final = "items_"
_STORAGE: Final = ("analytics_storage", "ads_storage")
_VALUE_KINDS: Final = ("string_value", "int_value", "double_value", "float_value")


def _split(line: Fields) -> list[Fields]:
    """Return parts of one shape: name, user, time (microseconds), params, items, context, and what makes the id."""
    if "event_name" in line:
        return [_of_export_row(_nested(line))]
    if "events" in line:
        return [_of_payload(line, event) for event in objects_in(line, "events")]
    raise InvalidRow("event_name", "neither event_name (BigQuery export) nor events (Measurement Protocol) is there")


def _of_export_row(row: Fields) -> Fields:
    items, ecommerce = _objects(row, "items"), row.get("ecommerce")
    of_order = ecommerce if isinstance(ecommerce, dict) else {}
    params = row.get("event_params")
    if params is None:
        params = row  # a query has made columns of them
    elif not isinstance(params, dict) or "list" in params:
        params = {str(param.get("key")): _value(param.get("value")) for param in _objects(row, "event_params")}
    if not items and (flat := _flat_item(row)):
        items = [flat]  # likewise
    user, anonymous_id = ids_of_shopper(row, "user_id", "user_pseudo_id")
    order = _order_id(params, of_order, {"transaction_id": row.get("ecommerce_transaction_id")})
    time = row.get("event_timestamp")
    return {
        "name": row["event_name"],
        "user": user,
        "anonymous": anonymous_id,
        "time": ("event_timestamp", time),
        "params": params,
        "items": items,
        "order": order,
        "context": {
            "device": inside(row, "device", "category") or row.get("device_category"),
            "channel": inside(row, "traffic_source", "medium") or row.get("traffic_source_medium"),
            "country": inside(row, "geo", "country") or row.get("geo_country"),
            "order_total": of_order.get("purchase_revenue") or row.get("ecommerce_purchase_revenue"),
            CONSENT: consent_of(row),
        },
        # What differs between the exports of a day and of the current day, or with the columns that a query chose, is
        # left out.
        "content": [
            row["event_name"],
            user,
            str(row.get("event_timestamp")),
            [_item_id(item) for item in items],
            order,
        ],
        "whole": row,
    }


def _flat_item(row: Fields) -> Fields | None:
    """Return the item whose fields are columns of a row, as `items_price` or as `price`; None if there is none."""
    flat = {name.removeprefix(_OF_ITEMS): one for name, one in row.items() if name.startswith(_OF_ITEMS)}
    if _ITEM_COLUMNS.intersection(flat):
        return flat
    return row if _ITEM_COLUMNS.intersection(row) else None


def _of_payload(payload: Fields, event: Fields) -> Fields:
    params = object_in(event, "params")
    user, anonymous_id = ids_of_shopper(payload, "user_id", "app_instance_id", "client_id")
    time = event.get("timestamp_micros") or payload.get("timestamp_micros")
    return {
        "name": event.get("name"),
        "user": user,
        "anonymous": anonymous_id,
        "time": ("timestamp_micros", time),
        "params": params,
        "items": objects_in(params, "items"),
        "order": _order_id(params),
        "context": {CONSENT: consent_of(payload)},
        "content": [user, time, event],
        "whole": event,
    }


def consent_of(given: Fields) -> dict[str, bool] | None:
    """Return what a shopper consents to, by purpose, as an export's row or a payload says; None if it says nothing."""
    exported, sent = (one if isinstance(one := given.get(name), dict) else {} for name in ("privacy_info", "consent"))
    wishes = {name: exported[name] == "Yes" for name in _STORAGE if exported.get(name) in {"Yes", "No"}}
    wishes |= {name: wish == "GRANTED" for name, wish in sent.items() if wish in {"GRANTED", "DENIED"}}
    return wishes or None


def _nested(row: Fields) -> Fields:
    """Return a row in which `geo.country`, as tools name columns of a record, is `country` in `geo`.

    Such columns of `items`, which is repeated, are the only item.
    """
    if not any("." in name for name in row):
        return row
    nested: Fields = {}
    for name, one in row.items():
        outer, _, inner = name.partition(".")
        if not inner:
            nested[name] = one
        elif isinstance(nested.setdefault(outer, {}), dict):
            nested[outer][inner] = one
    if "items" not in row and "items" in nested:
        nested["items"] = [nested["items"]]
    return nested


def _objects(row: Fields, name: str) -> list[Fields]:
    """Return the objects of a repeated field, which Parquet may hold as `{"list": [{"element": ...}]}`."""
    given = row.get(name)
    if isinstance(given, dict) and isinstance(given.get("list"), list):
        elements = [one.get("element") if isinstance(one, dict) else one for one in given["list"]]
        return objects_in({name: elements}, name)
    return objects_in(row, name)


def _order_id(*places: Fields) -> str | None:
    for place in places:
        if (found := first_id(place, "transaction_id")) is not None:
            return found
    return None


def _value(given: object) -> object:
    """Return an export parameter's value, which lies under the name of its kind."""
    if not isinstance(given, dict):
        return None
    return next((given[kind] for kind in _VALUE_KINDS if given.get(kind) is not None), None)


def _event(part: Fields, own_types: Mapping[str, str] = {}) -> Event:
    name = required_id("event_name", part["name"])
    event_type = own_types.get(name) or TYPES.get(name, "other")
    params, items = part["params"], part["items"]
    shown = None
    if name in _LISTS and name not in own_types:
        shown = shown_items(items, ("item_id", "item_name"), "index")
        event_type = IMPRESSION if shown else event_type
    item = items[0] if items and event_type not in {"other", IMPRESSION} and name not in _OF_MANY_ITEMS else {}
    time_name, time = part["time"]
    order = order_event_id(part["order"], TYPES.get(name, name)) if event_type == "purchase" else None
    return Event(
        event_id=order or whole_id(part["content"]),
        user_id=part["user"],
        type=event_type,
        ts=unix_ms(time_name, required_id(time_name, time), "microseconds"),
        item_id=_item_id(item),
        category=optional_id("item_category", item.get("item_category")),
        price=number("price", item.get("price"), least=0),
        quantity=number("quantity", item.get("quantity")),
        text=optional_text("search_term", params.get("search_term")) if event_type == "search" else None,
        anonymous_id=part["anonymous"],
        context=_context(part, None if event_type != "other" else name),
        items=shown,
        model_version=optional_id("model_version", params.get("model_version")) if shown else None,
        placement=first_id(items[0] | params, *_LISTS[name]) if shown else None,
    )


def _item_id(item: Fields) -> str | None:
    return first_id(item, "item_id", "item_name")


def _context(part: Mapping[str, Any], other_name: str | None) -> dict[str, str] | None:
    """Return what analysts group by; of other events also what they were."""
    params, surroundings = part["params"], dict(part["context"])
    of_order = {
        "order_id": part["order"],
        "order_total": plain_amount(params.get("value") or surroundings.pop("order_total", None)),
        "order_products": len(part["items"]) or None,
        "currency": params.get("currency"),
    }
    is_order = TYPES.get(part["name"]) in {"checkout", "purchase", "refund"}
    found = {**surroundings, "event": other_name, "session": params.get("ga_session_id")}
    found = {name: one for name, one in found.items() if one != _NOT_SET and name != "order_total"}
    return flat_context(found | (of_order if is_order else {}))


def _source(part: Fields) -> Fields:
    """Return a row of the export, or an event of a payload, with its parameters by name under `params`."""
    return {**part["whole"], "params": part["params"]}


_OWN: Final = OwnReading(
    lambda part: part["name"], _source, ("params",), frozenset({"params", "device", "geo", "traffic_source"})
)
FORMAT: Final = JsonFormat(_split, _event, _OWN, frozenset({"event_name", "event_timestamp", "user_pseudo_id"}))
