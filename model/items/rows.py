"""An item from a row of a table or a feed, whose values are texts, or whatever a column holds."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import orjson

from model.items.item import InvalidItem, Item, checked_category, checked_moment, checked_stock, checked_vector
from model.validate import InvalidEvent, optional_id, optional_text, required_id

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "item_id": ("item_id", "id"),
    "title": ("title", "name"),
    "description": ("description",),
    "category": ("category", "product_type", "google_product_category"),
    "brand": ("brand",),
    "price": ("sale_price", "price"),
    "currency": ("currency",),
    "in_stock": ("in_stock", "availability", "stock"),
    "vector": ("vector", "embedding"),
    "added_at": ("added_at", "published_at", "created_at"),
}
"""The names of columns that an item's field is read from: the first that is not empty."""
KNOWN: Final = frozenset(name for names in NAMES.values() for name in names)

_STOCK_WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}
_CURRENCY: Final = r"([A-Za-z]{3})"
_PRICE: Final = re.compile(rf"(?:{_CURRENCY}\s*)?([0-9][0-9.,]*)(?:\s*{_CURRENCY})?")
_AMOUNTS: Final = (
    (re.compile(r"[0-9]+(\.[0-9]+)?"), ""),
    (re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"), ""),
    (re.compile(r"[0-9]+,[0-9]{1,2}"), "."),
)
"""How amounts are written, and what their comma means: nothing, or the beginning of the decimals."""
_BETWEEN_NUMBERS: Final = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class BadItem:
    """A row that is no item: a reason to group by, and a sentence without the row's data."""

    line: int
    """From 1; of Parquet, the row."""
    reason: str
    error: str
    item_id: str | None
    """The item that it was meant for, if it says so."""


def item_of(row: Mapping[str, object]) -> Item:
    """Return the item of a row, by names in NAMES; raises InvalidItem."""
    given = {field: _first(row, names) for field, names in NAMES.items()}
    texts: dict[str, Any] = {field: _text(given[field]) for field in ("item_id", "title", "description", "brand")}
    price, currency = _price(given["price"])
    try:
        return Item(
            item_id=required_id(texts, "item_id"),
            title=optional_text(texts, "title"),
            description=optional_text(texts, "description"),
            category=checked_category(_category(given["category"])),
            brand=optional_id(texts, "brand"),
            price=price,
            currency=currency or _text(given["currency"]),
            in_stock=_stock(given["in_stock"]),
            vector=checked_vector(_vector(given["vector"])),
            added_at=checked_moment(_moment(given["added_at"])),
        )
    except InvalidEvent as invalid:  # the rules that items and events share
        raise InvalidItem(invalid.reason, invalid.error) from None


def id_of(row: Mapping[str, object]) -> str | None:
    """Return the id that a row has, whatever else is wrong with it."""
    return _text(_first(row, NAMES["item_id"]))


def _first(row: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((value for name in names if not _is_nothing(value := row.get(name))), None)


def _is_nothing(value: object) -> bool:
    """Whether a cell is empty; what some tables write into one is NaN."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers that has gaps
    return str(value).strip()


def _category(value: object) -> object:
    if not isinstance(value, list):
        return _text(value)
    return [str(level).strip() for level in value if not _is_nothing(level)]


def _moment(value: object) -> object:
    """Return a time as a text; of a table without time zones it is UTC."""
    if not isinstance(value, date):
        return value if isinstance(value, int | float) else _text(value)
    zone = "Z" if isinstance(value, datetime) and value.tzinfo is None else ""
    return value.isoformat() + zone


def _price(value: object) -> tuple[float | None, str | None]:
    """Return a price and its currency, of a number or of a text such as `12.90 EUR`."""
    if value is None:
        return None, None
    found = _PRICE.fullmatch(str(value).strip()) if isinstance(value, str) else None
    if found is None:
        return _number("price", value), None
    before, amount, after = found.groups()
    for form, comma in _AMOUNTS:
        if form.fullmatch(amount):
            return float(amount.replace(",", comma)), (after or before or "").upper() or None
    raise InvalidItem("price", "price is no amount such as 12.90 EUR")


def _number(field: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type] # what is no number fails
    except (TypeError, ValueError, OverflowError):
        raise InvalidItem(field, f"{field} is no number") from None
    if not math.isfinite(number):
        raise InvalidItem(field, f"{field} is no finite number")
    if number < 0:
        raise InvalidItem(field, f"{field} is negative")
    return number


def _stock(value: object) -> bool | None:
    if not isinstance(value, str):
        return checked_stock(value)
    word = value.strip().casefold()
    if word in _STOCK_WORDS:
        return _STOCK_WORDS[word]
    try:
        return checked_stock(float(word))
    except ValueError:
        return checked_stock(word)


def _vector(value: object) -> object:
    """Return a vector's numbers, of a text such as `[0.1, 0.2]` or `0.1 0.2`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return orjson.loads(text) if text.startswith("[") else [float(part) for part in _BETWEEN_NUMBERS.split(text)]
    except ValueError:
        raise InvalidItem("vector", "vector is no list of numbers such as [0.1, 0.2]") from None
