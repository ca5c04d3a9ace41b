"""Taobao's UserBehavior data: `user,item,category,behaviour,Unix seconds`, with or without a header.

https://tianchi.aliyun.com/dataset/649 (the public file has no header).
"""

from collections.abc import Mapping
from typing import Final

from model.events import Event
from model.formats.ids import checked_id
from model.formats.rows import InvalidRow, content_id
from model.formats.tables import Row, TableFormat
from model.formats.times import unix_ms

BEHAVIOURS: Final = {"pv": "view", "cart": "cart", "fav": "favorite", "buy": "purchase"}

_NAMES: Final = {
    "user": ("u", "user_id", "userid"),
    "item": ("i", "item_id", "itemid"),
    "category": ("c", "category_id", "categoryid", "item_category"),
    "behaviour": ("b", "behavior", "behaviour_type", "behavior_type", "action", "type"),
    "ts": ("timestamp", "time", "time_stamp"),
}
"""Columns, and other names of each."""


def _event(row: Row, own_types: Mapping[str, str] = {}) -> Event:  # noqa: ARG001 - a shop has nothing of its own here
    behaviour = row["behaviour"]
    if behaviour not in BEHAVIOURS:
        raise InvalidRow("behaviour", f"behaviour is none of {', '.join(BEHAVIOURS)}")
    ts = unix_ms("ts", row["ts"], "seconds")
    user, item, category = (checked_id(name, row[name]) for name in ("user", "item", "category"))
    return Event(
        event_id=content_id(user, item, category, behaviour, str(ts)),
        user_id=user,
        type=BEHAVIOURS[behaviour],
        ts=ts,
        item_id=item,
        category=category,
    )


FORMAT: Final = TableFormat(
    columns=tuple(_NAMES),
    required=frozenset(_NAMES),
    to_event=_event,
    type_column="behaviour",
    synonyms={name: column for column, names in _NAMES.items() for name in names},
)
