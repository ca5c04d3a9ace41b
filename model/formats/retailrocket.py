"""RetailRocket's events: `timestamp,visitorid,event,itemid,transactionid`, times in Unix milliseconds.

https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset (its events.csv; items' properties are not read).
"""

from collections.abc import Mapping
from typing import Final

from model.events import Event
from model.formats.fields import flat_context, optional_id
from model.formats.ids import checked_id
from model.formats.rows import InvalidRow, content_id, order_event_id
from model.formats.tables import Row, TableFormat
from model.formats.times import unix_ms

TYPES: Final = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def _event(row: Row, own_types: Mapping[str, str] = {}) -> Event:
    name = row["event"]
    if name not in TYPES and name not in own_types:
        raise InvalidRow("event", f"event is none of {', '.join(TYPES)}")
    ts = unix_ms("timestamp", row["timestamp"], "milliseconds")
    user, item = checked_id("visitorid", row["visitorid"]), checked_id("itemid", row["itemid"])
    order = optional_id("transactionid", row.get("transactionid"))
    return Event(
        event_id=(order_event_id(order) if name == "transaction" else None) or content_id(str(ts), name, item, user),
        user_id=user,
        type=TYPES.get(name, name),
        ts=ts,
        item_id=item,
        context=flat_context({"order_id": order}),
    )


FORMAT: Final = TableFormat(
    columns=("timestamp", "visitorid", "event", "itemid", "transactionid"),
    required=frozenset({"timestamp", "visitorid", "event", "itemid"}),
    to_event=_event,
    type_column="event",
)
