"""A shop's definition suggested from a sample of its events: types that are not built in, and fields that vary."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from model.attributes import MAX_TEXT_BYTES, Places
from model.formats.own import OwnRow
from model.shop import MAX_ATTRIBUTES, MAX_TYPES, Shop, ShopError, shop_of

SAMPLED_ROWS: Final = 100_000
MOST_VALUES: Final = 255
"""A text with more values says too little of any of them: it is left out, like an id."""
_DEEPEST: Final = 3
_FEW: Final = 2
SAYS_NOTHING: Final = frozenset({"id", "name", "type", "value"})
"""Last parts of paths that are no names by themselves."""
_BUILT_IN: Final = frozenset({"price", "quantity", "rating", "category", "category_code", "product_id", "item_id"})
"""Columns and properties whose values are fields of an event already."""
_IDENTIFIES: Final = re.compile(r"(^|_)id$")
"""Names of fields whose numbers count nothing."""
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_NUMERIC: Final = Places.canonical(shop_of({"attributes": {"value": {"kind": "numeric"}}}))


@dataclass
class _Field:
    """What was seen of one field."""

    filled: int = 0
    numbers: int = 0
    """How many of its values are numbers, also as text."""
    values: set[str] = field(default_factory=set)
    """No more than one above MOST_VALUES."""


def suggested(rows: Iterable[OwnRow], details: tuple[str, ...]) -> str:
    """Return the text of a file that defines a shop, from rows of a format that keeps details under that path."""
    types, fields, count = Counter[str](), dict[tuple[str, ...], _Field](), 0
    for row in rows:
        count += 1
        if row.own_type is not None:
            types[row.own_type] += 1
        for path, value in scalars(row.fields):
            _see(fields.setdefault(path, _Field()), value)
    header = f"# What the shop defines of its own: see docs/shop.md. Suggested from {count:,} events; correct it."
    return "\n".join([header, "", *_types(types), "", *_attributes(fields, details, count)]) + "\n"


def scalars(fields: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the texts and numbers in an object, with their paths."""
    for name, value in fields.items():
        path = (*above, name)
        if isinstance(value, dict):
            if len(path) < _DEEPEST:
                yield from scalars(value, path)
        elif isinstance(value, str | int | float) and value != "" and "." not in name:
            yield path, value


def _see(seen: _Field, value: object) -> None:
    seen.filled += 1
    seen.numbers += _NUMERIC.read({"attributes": {"value": value}}) is not None
    if len(seen.values) <= MOST_VALUES:
        seen.values.add(str(value)[: MAX_TEXT_BYTES + 1])


def _types(types: Counter[str]) -> list[str]:
    if not types:
        return ["# Every type of event is built in.", "types: {}"]
    lines = [
        "# Each type with the built-in one that it behaves like, or none: view, search, favorite, cart,",
        "# remove_from_cart, checkout, purchase, review, refund.",
        "types:",
    ]
    for number, (name, count) in enumerate(types.most_common()):
        is_valid = number < MAX_TYPES and _is_valid({"types": {name: "none"}})
        lines.append(f"  {'' if is_valid else '# '}{json.dumps(name, ensure_ascii=False)}: none  # {count:,} of them")
    return lines


def _attributes(fields: dict[tuple[str, ...], _Field], details: tuple[str, ...], count: int) -> list[str]:
    lines, taken = list[str](), dict[str, None]()
    for path, seen in sorted(fields.items(), key=lambda entry: -entry[1].filled):
        name = _name(path, taken)
        if path[-1] in _BUILT_IN and path[:-1] in {(), details}:
            continue
        is_numeric = seen.numbers == seen.filled and _IDENTIFIES.search(name) is None
        kind = "numeric" if is_numeric else "categorical"
        place = "" if path == (*details, name) else f", from: {_written('.'.join(path))}"
        values = f"{len(seen.values)} values" if len(seen.values) <= MOST_VALUES else f"more than {MOST_VALUES} values"
        filled = f"in {math.floor(100 * seen.filled / count)} % of events, {values}"
        is_useful = len(seen.values) >= _FEW and (is_numeric or len(seen.values) <= MOST_VALUES)
        is_kept = is_useful and len(taken) < MAX_ATTRIBUTES
        if is_kept:
            taken[name] = None
        lines.append(f"  {'' if is_kept else '# '}{name}: {{kind: {kind}{place}}}  # {filled}")
    heading = ["# Fields that differ between events; what is behind a # says too little, or too much, of each."]
    return [*heading, "attributes:" if taken else "attributes: {}", *lines]


def _name(path: tuple[str, ...], taken: Mapping[str, None]) -> str:
    """Return a valid name of an attribute that is not taken: the last part of the path, or more of it."""
    parts = [
        re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part).lower()).strip("_") for part in path
    ]
    shortest = len(parts) - (2 if parts[-1] in SAYS_NOTHING and len(parts) > 1 else 1)
    for first in range(shortest, -1, -1):
        name = re.sub(r"^[^a-z]+", "", "_".join(parts[first:]))[:40] or "attribute"
        if name not in taken:
            return name
    number = next(number for number in range(2, len(taken) + 3) if f"{name[:36]}_{number}" not in taken)
    return f"{name[:36]}_{number}"


def _written(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _is_valid(definition: dict[str, Any]) -> bool:
    try:
        return shop_of(definition) != Shop()
    except ShopError:
        return False
