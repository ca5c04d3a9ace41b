"""One item of the shop's catalogue, and whether a record or a row is one: the rules of the item contract, once."""

import math
import re
from typing import Any, Final, Self

import msgspec

from model.events import is_in_years, meant_unit, parse_moment_ms
from model.validate import (
    InvalidEvent,
    kind_of,
    optional_id,
    optional_number,
    optional_text,
    parse_object,
    price_of,
    required_id,
)

LEVELS: Final = 4
"""How many levels of a category's path are told apart."""
MAX_VECTOR_NUMBERS: Final = 4096
LARGEST_NUMBER: Final = 65_504.0
"""The largest in half precision, in which vectors are kept."""

_CAN_BE_ORDERED: Final = {
    "instock": True,
    "limitedavailability": True,
    "onlineonly": True,
    "preorder": True,
    "presale": True,
    "backorder": True,
    "madetoorder": True,
    "outofstock": False,
    "soldout": False,
    "discontinued": False,
    "instoreonly": False,
}
"""Words of Google's product feeds and of schema.org's ItemAvailability, by their letters."""
_NO_LETTERS: Final = re.compile(r"[^a-z]")
_OUTSIDE_YEARS: Final = "added_at lies outside the years 2000 to 2099"
_SEPARATOR: Final = " > "


class InvalidItem(Exception):  # noqa: N818 - exceptions here are named as facts
    """The record or row is no item; `reason` names the invalid field or the kind of damage."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


class Item(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One item in canonical form, as `items load` writes it to the items topic; whatever is None is not known."""

    item_id: str
    title: str | None = None
    description: str | None = None
    category: str | None = None
    """A path, its levels separated by ` > ` or `/`."""
    brand: str | None = None
    price: float | None = None
    currency: str | None = None
    in_stock: bool | None = None
    """Whether it can be ordered now."""
    vector: list[float] | None = None
    """What the shop has made of its picture or text."""
    added_at: int | None = None
    """Since when the shop has it, in epoch milliseconds: before that, nobody could have wanted it."""

    def with_dimension(self, dimension: int | None) -> Self:
        """Return the item; raises InvalidItem if its vector has another length than the catalogue's."""
        if self.vector is not None and dimension is not None and len(self.vector) != dimension:
            raise InvalidItem("vector", f"vector has {len(self.vector)} numbers, the catalogue's have {dimension}")
        return self


_DECODER: Final = msgspec.json.Decoder(Item)
_PLAIN_ID_CHARACTERS: Final = 256
"""Ids up to this length cannot have too many bytes in UTF-8."""


def decode_item(value: bytes | None) -> Item:
    """Return the item that a record's value or a line holds; raises InvalidItem.

    Most are of plain form, in the types of `Item`; only the others are judged field by field.
    """
    if value is not None:
        try:
            value.decode()  # the decoder does not check the text that it skips
            item = _DECODER.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if _is_plain(item):
                return item
    try:
        return _validated(value)
    except InvalidEvent as invalid:  # the rules that items and events share
        raise InvalidItem(invalid.reason, invalid.error) from None


def levels_of(category: str) -> list[str]:
    """Return the paths of a category's first LEVELS levels, the widest first: `Shoes`, `Shoes > Boots`."""
    names = [name.strip() for name in category.split(">" if ">" in category else "/")]
    named = [name for name in names if name][:LEVELS]
    return [_SEPARATOR.join(named[: level + 1]) for level in range(len(named))]


def checked_category(given: object) -> str | None:
    """Return a category, of a list of levels their path; raises InvalidItem."""
    if given is None or given == []:
        return None
    if isinstance(given, list):
        if not all(type(level) is str for level in given):
            raise InvalidItem("category", "category is an array, but not of strings")
        given = _SEPARATOR.join(given)
    return optional_id({"category": given}, "category") or None


def checked_stock(given: object) -> bool | None:
    """Return whether an item can be ordered, of a boolean, a number of pieces or a word; raises InvalidItem."""
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, int | float):
        return given > 0
    if not isinstance(given, str):
        raise InvalidItem("in_stock", f"in_stock is {kind_of(given)}, neither a boolean nor a number nor a word")
    letters = _NO_LETTERS.sub("", given.rpartition("/")[2].casefold())
    if letters not in _CAN_BE_ORDERED:
        raise InvalidItem("in_stock", "in_stock is no known availability: give true, false, or the number in stock")
    return _CAN_BE_ORDERED[letters]


def checked_moment(given: object) -> int | None:
    """Return a time's epoch milliseconds, of such a number, an RFC 3339 time, or a day; raises InvalidItem."""
    if given is None:
        return None
    try:
        if isinstance(given, str) and not given.isdecimal():
            moment = parse_moment_ms(given)
        elif isinstance(given, bool) or not isinstance(given, str | int | float) or not float(given).is_integer():
            raise ValueError("no whole number")
        else:
            moment = int(given)
    except (ValueError, OverflowError):
        what = "neither epoch milliseconds nor an RFC 3339 time nor a day"
        raise InvalidItem("added_at", f"added_at is {what}") from None
    if not is_in_years(moment):
        unit = meant_unit(moment)
        raise InvalidItem("added_at", f"added_at is in {unit}, not in milliseconds" if unit else _OUTSIDE_YEARS)
    return moment


def checked_vector(given: object) -> list[float] | None:
    """Return a vector's numbers; raises InvalidItem."""
    if given is None:
        return None
    if not isinstance(given, list):
        raise InvalidItem("vector", f"vector is {kind_of(given)}, not an array of numbers")
    if not 0 < len(given) <= MAX_VECTOR_NUMBERS:
        raise InvalidItem("vector", f"vector has {len(given)} numbers, not 1 to {MAX_VECTOR_NUMBERS}")
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in given):
        raise InvalidItem("vector", "vector holds something else than numbers")
    numbers = list(map(float, given))
    if not (all(map(math.isfinite, numbers)) and _fits(numbers)):
        raise InvalidItem("vector", f"vector holds a number beyond {LARGEST_NUMBER:,.0f}, or none")
    return numbers


def _is_plain(item: Item) -> bool:
    return bool(
        0 < len(item.item_id) <= _PLAIN_ID_CHARACTERS
        and (item.category is None or len(item.category) <= _PLAIN_ID_CHARACTERS)
        and (item.brand is None or len(item.brand) <= _PLAIN_ID_CHARACTERS)
        and (item.currency is None or len(item.currency) <= _PLAIN_ID_CHARACTERS)
        and (item.price is None or 0 <= item.price < math.inf)
        and (item.added_at is None or is_in_years(item.added_at))
        and (item.vector is None or (0 < len(item.vector) <= MAX_VECTOR_NUMBERS and _fits(item.vector)))
    )


def _fits(numbers: list[float]) -> bool:
    return min(numbers) >= -LARGEST_NUMBER and max(numbers) <= LARGEST_NUMBER


def _validated(value: bytes | None) -> Item:
    fields, is_strict = parse_object(value)
    item = Item(
        item_id=required_id(fields, "item_id"),
        title=optional_text(fields, "title"),
        description=optional_text(fields, "description"),
        category=checked_category(fields.get("category")),
        brand=optional_id(fields, "brand"),
        price=price_of(fields),
        currency=optional_id(fields, "currency"),
        in_stock=checked_stock(_plain_number(fields, "in_stock")),
        vector=checked_vector(_plain_numbers(fields.get("vector"))),
        added_at=checked_moment(_plain_number(fields, "added_at")),
    )
    if not is_strict:
        raise InvalidItem("json", "the value holds NaN or Infinity, which JSON does not know")
    return item


def _plain_number(fields: dict[str, Any], field: str) -> object:
    """Return a field's value, a number as what it is, not as it was written."""
    return optional_number(fields, field) if kind_of(fields.get(field)) == "a number" else fields.get(field)


def _plain_numbers(given: object) -> object:
    if not isinstance(given, list):
        return given
    return [float(number) if kind_of(number) == "a number" else number for number in given]
