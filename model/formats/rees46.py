"""REES46's shop data: one view, cart or purchase of one product a row.

`event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session`, times such as
`2019-10-01 00:00:00 UTC`. https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store
"""

from collections.abc import Mapping
from typing import Final

from model.events import Event
from model.formats.fields import flat_context, number, optional_id
from model.formats.ids import checked_id
from model.formats.rows import InvalidRow, content_id, order_event_id
from model.formats.tables import Row, TableFormat
from model.formats.times import moment_ms

TYPES: Final = ("view", "cart", "remove_from_cart", "purchase")


def _event(row: Row, own_types: Mapping[str, str] = {}) -> Event:
    name = row["event_type"]
    if name not in TYPES and name not in own_types:
        raise InvalidRow("event_type", f"event_type is none of {', '.join(TYPES)}")
    ts = moment_ms("event_time", row["event_time"])
    user, product = checked_id("user_id", row["user_id"]), checked_id("product_id", row["product_id"])
    order = optional_id("order_id", row.get("order_id"))
    return Event(
        event_id=(order_event_id(order) if name == "purchase" else None) or content_id(str(ts), name, product, user),
        user_id=user,
        type=name,
        ts=ts,
        item_id=product,
        # A third of the rows have no code, and each id has one code at most: the id is the second best name.
        category=optional_id("category_code", row.get("category_code"))
        or optional_id("category_id", row.get("category_id")),
        price=number("price", row.get("price"), least=0),
        context=flat_context({"brand": row.get("brand"), "session": row.get("user_session"), "order_id": order}),
    )


FORMAT: Final = TableFormat(
    columns=(
        "event_time",
        "event_type",
        "product_id",
        "category_id",
        "category_code",
        "brand",
        "price",
        "user_id",
        "user_session",
    ),
    required=frozenset({"event_time", "event_type", "product_id", "user_id"}),
    to_event=_event,
    type_column="event_type",
)
