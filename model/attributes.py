"""Attributes of events that a shop defines: where each lies in an event, and what of its value is read.

Whatever the value, it never makes an event invalid: what is not of the attribute's kind is unknown.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

from model.shop import Shop

LABELS: Final = 256
"""Codes of a categorical value: 0 for unknown, else its hash."""
MAX_TEXT_BYTES: Final = 128
"""A longer value is unknown."""
CANONICAL: Final = "attributes"
"""The object of a canonical event that gives attributes by name."""

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""As JSON writes numbers."""

Values = dict[str, str | float]
"""The attributes of one event by name: text if categorical, else a number."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where events of one format have each attribute."""

    attributes: tuple[tuple[str, bool, tuple[tuple[str, ...], ...]], ...]
    """Name, whether it is categorical, and the paths to look at, the first that leads to a value first."""

    @classmethod
    def canonical(cls, shop: Shop) -> Self:
        """Return those in canonical events."""
        return cls(
            tuple(
                (name, of.kind == "categorical", ((CANONICAL, name), *([tuple(of.path.split("."))] if of.path else [])))
                for name, of in shop.attributes.items()
            )
        )

    @classmethod
    def inside(cls, shop: Shop, *details: str) -> Self:
        """Return those in events of another system; `details` is the path to where those without a path lie."""
        return cls(
            tuple(
                (name, of.kind == "categorical", (tuple(of.path.split(".")) if of.path else (*details, name),))
                for name, of in shop.attributes.items()
            )
        )

    def read(self, fields: Mapping[str, Any]) -> Values | None:
        """Return the attributes that a parsed event has, None if it has none."""
        found: Values = {}
        for name, is_categorical, paths in self.attributes:
            given = next((one for path in paths if (one := _at(fields, path)) is not None), None)
            value = _text(given) if is_categorical else _number(given)
            if value is not None:
                found[name] = value
        return found or None


NO_PLACES: Final = Places(())


def _at(fields: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def _text(given: object) -> str | None:
    """Return a text, or a number or boolean as JSON writes it."""
    if isinstance(given, bool | int | float):
        given = msgspec.json.encode(given).decode() if not isinstance(given, float) or math.isfinite(given) else None
    if not isinstance(given, str):
        return None
    try:
        return str(given) if 0 < len(given.encode()) <= MAX_TEXT_BYTES else None
    except UnicodeEncodeError:  # half of a surrogate pair
        return None


def _number(given: object) -> float | None:
    """Return a finite number, also one written as text."""
    if isinstance(given, str):
        given = float(given) if len(given) <= MAX_TEXT_BYTES and _NUMBER.fullmatch(given) else None
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        return float(given) if math.isfinite(given) else None
    except OverflowError:  # a whole number beyond the largest double
        return None
