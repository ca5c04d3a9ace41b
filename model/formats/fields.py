"""Values of other systems' rows: parses ids, texts, numbers and money, or raises InvalidRow."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn, cast

import orjson

from model.events import anonymous_id_of
from model.formats.ids import known_id, whole_number_id
from model.formats.rows import InvalidRow

Fields = dict[str, Any]
"""A parsed JSON object."""

CONSENT: Final = "consent"
"""Where a context says what the shopper wishes."""
_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_NOT_SNAKE_CASE: Final = re.compile(r"[A-Z\s-]")
_NEW_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS_JOINED: Final = re.compile(r"[\s-]+")
_LONGEST_NUMBER: Final = 64
"""Longer texts are not looked at: what takes so much time grows faster than they do."""
_CURRENCY: Final = r"[A-Z]{3}|eur|usd|gbp|chf|(?:[A-Z]{1,2})?[$€£¥₹₽₺₴₩₪฿₫₱]|kr\.?|zł|Kč|Ft|lei|Fr\.|Rs\.?"
_AMOUNT: Final = re.compile(
    rf"(?P<before>{_CURRENCY})?\s*(?P<sign>[+-]?)\s*(?P<digits>[0-9][0-9.,'\u2019\s]*|[.,][0-9]+)(?P<after>{_CURRENCY})?"
)


def optional_text(name: str, given: object) -> str | None:
    """Return a text, or the digits of a whole number; None for nothing, null and an empty text."""
    if given is None or given == "":
        return None
    if isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    raise InvalidRow(name, f"{name} is {_kind(given)}, not a string")


def optional_id(name: str, given: object) -> str | None:
    """Return an id, None for nothing and for a word that stands for nothing."""
    if isinstance(given, str):
        return known_id(name, given)
    text = whole_number_id(name, given) if isinstance(given, float) else optional_text(name, given)
    return None if text is None else known_id(name, text)


def required_id(name: str, given: object) -> str:
    """Return an id."""
    return optional_id(name, given) or _missing(name)


def first_id(fields: Fields, *names: str) -> str | None:
    """Return the id under the first of some names that has one."""
    for name in names:
        given = fields.get(name)
        if given is not None and (found := optional_id(name, given)) is not None:
            return found
    return None


def ids_of_shopper(fields: Fields, known: str, *anonymous: str) -> tuple[str, str | None]:
    """Return the user's id and the anonymous id beside it; without a user's id the anonymous one stands in its place.

    `anonymous` are names of which the first that has an id counts. Raises InvalidRow if there is neither.
    """
    user_id, anonymous_id = first_id(fields, known), first_id(fields, *anonymous)
    if user_id is None:
        return anonymous_id or _missing(anonymous[-1]), None
    return user_id, anonymous_id_of(user_id, anonymous_id)


def number(name: str, given: object, least: float = -math.inf) -> float | None:
    """Return a number, also one written as a text, with a currency or with separators; None for nothing."""
    if given is None or given == "":
        return None
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise InvalidRow(name, f"{name} is {_kind(given)}, not a number")
    try:
        found = float(_plain_number(name, given.strip())) if isinstance(given, str) else float(given)
    except (ValueError, OverflowError):
        raise InvalidRow(name, f"{name} is not a number") from None
    if not math.isfinite(found):
        raise InvalidRow(name, f"{name} is not a finite number")
    if found < least:
        raise InvalidRow(name, f"{name} is negative" if least == 0 else f"{name} is less than {least}")
    return found


def known_or_none(given: object) -> str | None:
    """Return an id, None for what is none; for a context, which is optional."""
    try:
        return optional_id("", given)
    except InvalidRow:
        return None


def plain_amount(given: object) -> object:
    """Return an amount of money without its currency, anything else as it is; for a context, which is optional."""
    try:
        return number("", given) if isinstance(given, str) and not _PLAIN.fullmatch(given) else given
    except InvalidRow:
        return given


def _plain_number(name: str, text: str) -> str:
    """Return a number's text as Python reads it: without currency and separators of thousands, with a point.

    Empty if it is no number.
    """
    if len(text) > _LONGEST_NUMBER:
        return ""
    if _PLAIN.fullmatch(text):
        return text
    found = _AMOUNT.fullmatch(text)
    if found is None or (found["before"] and found["after"]):
        return text if text.lower().lstrip("+-") in {"nan", "inf", "infinity"} else ""
    digits = re.sub(r"['\u2019\s]", "", found["digits"])
    *whole, last = re.split(r"[.,]", digits)
    separators = re.findall(r"[.,]", digits)
    is_fraction = len(set(separators)) == 2 or (len(separators) == 1 and (len(last) != 3 or whole[0] in {"", "0"}))
    if len(separators) == 1 and not is_fraction:
        raise InvalidRow(name, f"{name} has one separator before three digits, of thousands or of a fraction: unclear")
    groups = whole if is_fraction else [*whole, last]
    if separators.count(separators[-1] if separators else "") > 1 and is_fraction:
        return ""
    if any(len(group) != 3 for group in groups[1:]) or (len(groups) > 1 and len(groups[0]) > 3):
        return ""
    return found["sign"] + "".join(groups) + (f".{last}" if is_fraction else "")


def object_in(fields: Fields, name: str) -> Fields:
    """Return the object under a name, also one that is JSON in a text, an empty one for nothing."""
    given = optional_object(fields.get(name))
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRow(name, f"{name} is {_kind(given)}, not an object")
    return given


def objects_in(fields: Fields, name: str) -> list[Fields]:
    """Return the objects in the array under a name, also in one that is JSON in a text, none for nothing."""
    given = optional_object(fields.get(name))
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InvalidRow(name, f"{name} is not an array of objects")
    return given


def optional_object(given: object) -> object:
    """Return what the JSON in a text is, None for an empty text, and anything else as it is."""
    if isinstance(given, str) and given.lstrip()[:1] in {"{", "["}:
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(given)
    return given or None if isinstance(given, str) else given


def inside(fields: Fields, outer: str, inner: str) -> object:
    """Return the value in a nested object, None if there is none: for a context, which is optional."""
    given = fields.get(outer)
    return given.get(inner) if isinstance(given, dict) else None


def in_snake_case(fields: Fields) -> Fields:
    """Return fields by names in snake case: `productId`, `ProductID` and `Product ID` are `product_id`.

    A name that is written so already is preferred.
    """
    if _NOT_SNAKE_CASE.search("".join(fields)) is None:
        return fields
    return {snake_case(name): one for name, one in fields.items()} | fields


def snake_case(name: str) -> str:
    """Return a name in small letters, its words joined by `_`."""
    return _WORDS_JOINED.sub("_", _NEW_WORD.sub("_", name)).lower()


def flat_context(given: Mapping[str, object]) -> dict[str, str] | None:
    """Return the scalar values as strings, None if there are none: a context never makes a row bad.

    What the shopper consents to stays as it is: the worker judges it.
    """
    texts = {
        name: str(one)
        for name, one in given.items()
        if isinstance(one, str | int | float) and not isinstance(one, bool) and one != ""
    }
    return with_consent(texts, given.get(CONSENT)) or None


def with_consent(context: dict[str, str] | None, wishes: object) -> dict[str, str] | None:
    """Return a context with what the shopper consents to, which is any JSON; None says nothing."""
    return context if wishes is None else {**(context or {}), CONSENT: cast("str", wishes)}


def _missing(name: str) -> NoReturn:
    raise InvalidRow(name, f"{name} is missing")


def _kind(given: object) -> str:
    kinds: dict[type, str] = {bool: "a boolean", dict: "an object", list: "an array", float: "a number with a fraction"}
    return kinds.get(type(given), "a string")
