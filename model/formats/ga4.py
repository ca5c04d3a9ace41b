"""Google Analytics 4: rows of the BigQuery export and payloads of the Measurement Protocol, as JSON lines.

A payload holds any number of events, a row of the export holds one. Of the recommended e-commerce events each has a
canonical type; every other one, `page_view` and `session_start` among them, is an event of type `other`.
https://support.google.com/analytics/answer/7029846
https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference
"""

from collections.abc import Mapping
from typing import Any, Final

from model.events import Event
from model.formats.fields import (
    Fields,
    flat_context,
    inside,
    number,
    object_in,
    objects_in,
    optional_id,
    optional_text,
    required_id,
)
from model.formats.json_rows import JsonFormat, whole_id
from model.formats.own import OwnReading
from model.formats.rows import InvalidRow
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
_OF_MANY_ITEMS: Final = frozenset({"view_item_list", "view_search_results", "search"})
_VALUE_KINDS: Final = ("string_value", "int_value", "double_value", "float_value")


def _split(line: Fields) -> list[Fields]:
    """Return parts of one shape: name, user, time (microseconds), params, items, context, and what makes the id."""
    if "event_name" in line:
        return [_of_export_row(line)]
    if "events" in line:
        return [_of_payload(line, event) for event in objects_in(line, "events")]
    raise InvalidRow("event_name", "neither event_name (BigQuery export) nor events (Measurement Protocol) is there")


def _of_export_row(row: Fields) -> Fields:
    return {
        "name": row["event_name"],
        "user": row.get("user_id") or row.get("user_pseudo_id"),
        "time": ("event_timestamp", row.get("event_timestamp")),
        "params": {str(param.get("key")): _value(param.get("value")) for param in objects_in(row, "event_params")},
        "items": objects_in(row, "items"),
        "context": {
            "device": inside(row, "device", "category"),
            "channel": inside(row, "traffic_source", "medium"),
            "country": inside(row, "geo", "country"),
            "order_id": inside(row, "ecommerce", "transaction_id"),
        },
        "content": row,
        "whole": row,
    }


def _of_payload(payload: Fields, event: Fields) -> Fields:
    params = object_in(event, "params")
    user = payload.get("user_id") or payload.get("client_id") or payload.get("app_instance_id")
    time = event.get("timestamp_micros") or payload.get("timestamp_micros")
    return {
        "name": event.get("name"),
        "user": user,
        "time": ("timestamp_micros", time),
        "params": params,
        "items": objects_in(params, "items"),
        "context": {},
        "content": [user, time, event],
        "whole": event,
    }


def _value(given: object) -> object:
    """Return an export parameter's value, which lies under the name of its kind."""
    if not isinstance(given, dict):
        return None
    return next((given[kind] for kind in _VALUE_KINDS if given.get(kind) is not None), None)


def _event(part: Fields, own_types: Mapping[str, str] = {}) -> Event:
    name = required_id("event_name", part["name"])
    event_type = own_types.get(name) or TYPES.get(name, "other")
    params, items = part["params"], part["items"]
    item = items[0] if items and event_type != "other" and name not in _OF_MANY_ITEMS else {}
    time_name, time = part["time"]
    return Event(
        event_id=whole_id(part["content"]),
        user_id=required_id("user_pseudo_id", part["user"]),
        type=event_type,
        ts=unix_ms(time_name, required_id(time_name, time), "microseconds"),
        item_id=_set_id(item, "item_id") or _set_id(item, "item_name"),
        category=_set_id(item, "item_category"),
        price=number("price", item.get("price"), least=0),
        quantity=number("quantity", item.get("quantity")),
        text=optional_text("search_term", params.get("search_term")) if event_type == "search" else None,
        context=_context(part, None if event_type != "other" else name),
    )


def _set_id(item: Fields, name: str) -> str | None:
    found = optional_id(name, item.get(name))
    return None if found == _NOT_SET else found


def _context(part: Mapping[str, Any], other_name: str | None) -> dict[str, str] | None:
    """Return what analysts group by; of other events also what they were."""
    params = part["params"]
    of_order = {
        "order_id": params.get("transaction_id") or part["context"].get("order_id"),
        "order_total": params.get("value"),
        "order_products": len(part["items"]) or None,
        "currency": params.get("currency"),
    }
    is_order = TYPES.get(part["name"]) in {"checkout", "purchase", "refund"}
    found = {**part["context"], "event": other_name, "session": params.get("ga_session_id")}
    found = {name: one for name, one in found.items() if one != _NOT_SET and name != "order_id"}
    return flat_context(found | (of_order if is_order else {}))


def _source(part: Fields) -> Fields:
    """Return a row of the export, or an event of a payload, with its parameters by name under `params`."""
    return {**part["whole"], "params": part["params"]}


_OWN: Final = OwnReading(
    lambda part: part["name"], _source, ("params",), frozenset({"params", "device", "geo", "traffic_source"})
)
FORMAT: Final = JsonFormat(_split, _event, _OWN)
