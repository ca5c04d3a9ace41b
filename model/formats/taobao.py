"""Taobao's UserBehavior data: `user,item,category,behaviour,Unix seconds`, with or without a header.

https://tianchi.aliyun.com/dataset/649 (the public file has no header).
"""

from collections.abc import Iterator
from typing import Final

from model.events import Event
from model.formats.csv_rows import split_fields
from model.formats.rows import InvalidRow, Line, checked_id, content_id, dated, row_text
from model.formats.times import unix_ms
from model.shop import NO_SHOP, Shop
from model.validate import BadRow

BEHAVIOURS: Final = {"pv": "view", "cart": "cart", "fav": "favorite", "buy": "purchase"}

_COLUMNS: Final = ("user", "item", "category", "behaviour", "ts")
_HEADER_USER_NAMES: Final = frozenset({"u", "user", "user_id", "userid"})


def read_rows(lines: Iterator[Line], _shop: Shop = NO_SHOP) -> Iterator[Event | BadRow]:
    """Yield an event or a bad row per line; a shop has nothing of its own in these columns."""
    for line in lines:
        try:
            fields = split_fields(row_text(line[1]))
            if line[0] == 1 and _is_header(fields):
                continue
            yield dated(_event(fields))
        except InvalidRow as invalid:
            yield invalid.at(line)


def _is_header(fields: list[str]) -> bool:
    return len(fields) == len(_COLUMNS) and fields[0].lower() in _HEADER_USER_NAMES and not fields[4].isdigit()


def _event(fields: list[str]) -> Event:
    if len(fields) != len(_COLUMNS):
        raise InvalidRow("columns", f"the row has {len(fields)} columns, not {len(_COLUMNS)}")
    user, item, category, behaviour, seconds = fields
    if behaviour not in BEHAVIOURS:
        raise InvalidRow("behaviour", f"behaviour is none of {', '.join(BEHAVIOURS)}")
    ts = unix_ms("ts", seconds, "seconds")
    return Event(
        event_id=content_id(user, item, category, behaviour, str(ts)),
        user_id=checked_id("user", user),
        type=BEHAVIOURS[behaviour],
        ts=ts,
        item_id=checked_id("item", item),
        category=checked_id("category", category),
    )
