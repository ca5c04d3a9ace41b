"""RetailRocket's events: `timestamp,visitorid,event,itemid,transactionid`, times in Unix milliseconds.

https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset (its events.csv; items' properties are not read).
"""

from collections.abc import Mapping
from typing import Final

from model.events import Event
from model.formats.csv_rows import CsvFormat, Row, row_id
from model.formats.fields import flat_context
from model.formats.rows import InvalidRow, checked_id
from model.formats.times import unix_ms

TYPES: Final = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def _event(row: Row, own_types: Mapping[str, str] = {}) -> Event:
    if row["event"] not in TYPES and row["event"] not in own_types:
        raise InvalidRow("event", f"event is none of {', '.join(TYPES)}")
    ts = unix_ms("timestamp", row["timestamp"], "milliseconds")
    return Event(
        event_id=row_id(row, "timestamp", ts),
        user_id=checked_id("visitorid", row["visitorid"]),
        type=TYPES.get(row["event"], row["event"]),
        ts=ts,
        item_id=checked_id("itemid", row["itemid"]),
        context=flat_context({"order_id": row.get("transactionid")}),
    )


FORMAT: Final = CsvFormat(
    columns=("timestamp", "visitorid", "event", "itemid", "transactionid"),
    required=frozenset({"timestamp", "visitorid", "event", "itemid"}),
    to_event=_event,
    type_column="event",
)
