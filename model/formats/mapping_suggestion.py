"""A mapping file suggested from the first rows of a file: which of its names look like which field of an event."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Final

from model.events import is_in_years
from model.formats.fields import Fields, snake_case
from model.formats.json_rows import parsed_object
from model.formats.mapping import parsed_time_ms
from model.formats.rows import InvalidRow, Line, row_text
from model.formats.separated import DELIMITERS, joined_lines, looks_like_names, split_fields
from model.formats.suggestion import SAYS_NOTHING, scalars
from model.formats.times import UNITS, moment_ms, unix_ms

SAMPLED_ROWS: Final = 10_000
_MOST_TYPES: Final = 100
_SAMPLED_TIMES: Final = 200
_NAMES: Final = {
    "user_id": "user_id userid customer_id customerid visitor_id visitorid client_id distinct_id shopper_id member_id "
    "account_id uid buyer_id customer_no anonymous_id user_pseudo_id device_id cookie_id email customer_email "
    "user_email billing_email user customer buyer visitor session_id sessionid session",
    "anonymous_id": "anonymous_id anonymousid user_pseudo_id visitor_id visitorid device_id cookie_id client_id",
    "ts": "event_time event_timestamp timestamp occurred_at created_at server_time datetime date_time time ts "
    "order_time order_date purchase_date invoice_date event_date date created",
    "type": "event_type event_name event action activity behavior_type behavior behaviour verb type name",
    "event_id": "event_id message_id insert_id uuid id",
    "order_id": "order_id orderid transaction_id transactionid order_number order_no invoice_no invoice",
    "item_id": "item_id itemid product_id productid sku item_sku product_sku lineitem_sku article_id variant_id "
    "stock_code asin aid product item product_name item_name",
    "category": "category category_code category_id categoryid product_category item_category department",
    "price": "price unit_price item_price product_price amount",
    "quantity": "quantity qty",
    "rating": "rating stars",
    "text": "query search_term search keyword review",
}
"""Names by field, in snake case, the best first."""
_CONTEXT: Final = {
    "device": "device device_type device_category",
    "channel": "channel utm_medium medium",
    "country": "country geo_country",
    "brand": "brand",
    "currency": "currency",
}
_TYPES: Final = {
    "other": r"cancel|fail|error",
    "refund": r"refund|return",
    "remove_from_cart": r"remove|delete",
    "checkout": r"checkout|payment|shipping",
    "purchase": r"purchase|order|transaction|buy|bought|paid|sale|conversion",
    "favorite": r"wish|fav|like|bookmark",
    "cart": r"cart|basket|bag",
    "search": r"search|query",
    "review": r"review|rating",
    "view": r"view|pv|click|detail|impression|visit",
}
"""What is in the name of a type, the first that is."""
_CLOCKS: Final = ("%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%H")
_PATTERNS: Final = tuple(
    f"{day}{gap}{clock}"
    for day in ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y-%m-%d", "%Y%m%d")
    for gap, clocks in ((" ", _CLOCKS), (", ", _CLOCKS), ("", ("",)))
    for clock in clocks
)
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def suggested_mapping(lines: Iterator[Line]) -> str:
    """Return the text of a mapping file; what no name looks like is a comment."""
    values, rows = defaultdict[str, list[object]](list), 0
    for row in islice(_objects(lines), SAMPLED_ROWS):
        rows += 1
        for parts, value in scalars(row):
            values[".".join(parts)].append(value)
    taken = dict[str, str]()
    for field, names in _NAMES.items():
        found_path = _path_of(names.split(), [path for path in values if path not in taken.values()])
        if found_path is not None:
            taken[field] = found_path
    fields = [f"  {field}: {_paths(field, taken)}" if field in taken else f"  # {field}:" for field in _NAMES]
    context = {name: found for name, names in _CONTEXT.items() if (found := _path_of(names.split(), values))}
    told = ", ".join(f"{name}: {_written(path)}" for name, path in context.items())
    others = [path for path in values if path not in {*taken.values(), *context.values()}]
    return "\n".join(
        [
            f"# How to read these files: see docs/formats.md. Suggested from {rows:,} rows; correct it.",
            "fields:",
            *fields,
            *([f"  context: {{{told}}}"] if told else []),
            *_time(values[taken["ts"]] if "ts" in taken else []),
            *_types(values[taken["type"]] if "type" in taken else []),
            *(f"# not read: {path}" for path in others),
            "",
        ]
    )


def _paths(field: str, taken: dict[str, str]) -> str:
    """Return where a field is; before a log-in a shopper is known by the anonymous id."""
    if field == "user_id" and "anonymous_id" in taken:
        return f"[{_written(taken[field])}, {_written(taken['anonymous_id'])}]"
    return _written(taken[field])


def _objects(lines: Iterator[Line]) -> Iterator[Fields]:
    """Yield objects of JSON lines, or of a table below its first line."""
    first = next(lines, None)
    if first is None:
        return
    text = first[1].decode(errors="replace")
    delimiter = max(DELIMITERS, key=text.count)
    names = split_fields(text, delimiter)
    is_table = not text.lstrip().startswith("{") and looks_like_names(names)
    for line in joined_lines(lines) if is_table else chain([first], lines):
        with suppress(InvalidRow):
            if is_table:
                yield dict(zip(names, split_fields(row_text(line[1]), delimiter), strict=False))
            else:
                yield parsed_object(line[1])


def _path_of(names: Sequence[str], paths: Iterable[str]) -> str | None:
    """Return the path that ends in the first of the names that one ends in."""
    by_name: dict[str, str] = {}
    for path in paths:
        snake = snake_case(path)
        outer, _, inner = snake.rpartition(".")
        if not outer or inner not in SAYS_NOTHING:
            by_name.setdefault(inner, path)
        by_name.setdefault(snake.replace(".", "_"), path)
    return next((by_name[name] for name in names if name in by_name), None)


def _time(values: list[object]) -> list[str]:
    """Return how times are written, nothing if they need no word."""
    times = [value for value in values if value != ""][:_SAMPLED_TIMES]
    if not times or all(_is_time(value, None) for value in times):
        return []
    fitting = [time for time in (*UNITS, *_PATTERNS) if all(_is_time(value, time) for value in times)]
    if not fitting:
        return ["# time:  # the unit of numbers, or a pattern such as %d.%m.%Y %H:%M"]
    others = f"  # or {', or '.join(fitting[1:])}" if fitting[1:] else ""
    return [f"time: {json.dumps(fitting[0])}{others}"]


def _is_time(value: object, time: str | None) -> bool:
    try:
        if time is None:
            found = moment_ms("", str(value))
        else:
            found = unix_ms("", str(value), time) if time in UNITS else parsed_time_ms(str(value), time)
    except InvalidRow:
        return False
    return is_in_years(found)


def _types(values: list[object]) -> list[str]:
    counts = Counter(str(value) for value in values if value != "")
    if not counts:
        return ['types: {"*": other}  # or the one type that all rows have']
    lines = [
        f"  {_written(name)}: {_type_of(name)}  # {count:,} of them" for name, count in counts.most_common(_MOST_TYPES)
    ]
    return ["types:", *lines, *(['  "*": other'] if len(counts) > _MOST_TYPES else [])]


def _type_of(name: str) -> str:
    return next((event_type for event_type, found in _TYPES.items() if re.search(found, name.lower())), "other")


def _written(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
