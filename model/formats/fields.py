"""Values of other systems' rows: parses ids, texts and numbers, or raises InvalidRow."""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from model.formats.rows import InvalidRow, checked_id

Fields = dict[str, Any]
"""A parsed JSON object."""


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
    """Return an id, None for nothing."""
    text = optional_text(name, given)
    return None if text is None else checked_id(name, text)


def required_id(name: str, given: object) -> str:
    """Return an id."""
    return optional_id(name, given) or _missing(name)


def number(name: str, given: object, least: float = -math.inf) -> float | None:
    """Return a number, also one written as a string; None for nothing."""
    if given is None or given == "":
        return None
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise InvalidRow(name, f"{name} is {_kind(given)}, not a number")
    try:
        found = float(given)
    except (ValueError, OverflowError):
        raise InvalidRow(name, f"{name} is not a number") from None
    if not math.isfinite(found):
        raise InvalidRow(name, f"{name} is not a finite number")
    if found < least:
        raise InvalidRow(name, f"{name} is negative" if least == 0 else f"{name} is less than {least}")
    return found


def object_in(fields: Fields, name: str) -> Fields:
    """Return the object under a name, an empty one for nothing."""
    given = fields.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRow(name, f"{name} is {_kind(given)}, not an object")
    return given


def objects_in(fields: Fields, name: str) -> list[Fields]:
    """Return the objects in the array under a name, none for nothing."""
    given = fields.get(name)
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InvalidRow(name, f"{name} is not an array of objects")
    return given


def inside(fields: Fields, outer: str, inner: str) -> object:
    """Return the value in a nested object, None if there is none: for a context, which is optional."""
    given = fields.get(outer)
    return given.get(inner) if isinstance(given, dict) else None


def flat_context(given: Mapping[str, object]) -> dict[str, str] | None:
    """Return the scalar values as strings, None if there are none: a context never makes a row bad."""
    texts = {
        name: str(one)
        for name, one in given.items()
        if isinstance(one, str | int | float) and not isinstance(one, bool) and one != ""
    }
    return texts or None


def _missing(name: str) -> NoReturn:
    raise InvalidRow(name, f"{name} is missing")


def _kind(given: object) -> str:
    kinds: dict[type, str] = {bool: "a boolean", dict: "an object", list: "an array", float: "a number with a fraction"}
    return kinds.get(type(given), "a string")
