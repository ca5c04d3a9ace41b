"""What a shop wants of recommendations whatever the model says: a file of items never shown, boosts and pins.

The file is read at the start, where what is wrong ends the worker, and again when it changes: then what is wrong leaves
the rules of before in force.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from model.items.item import levels_of
from service.errors import CartcastError
from streams.lookups.answers import Goal
from streams.lookups.item_query import MOST_ITEMS
from streams.watched_file import WatchedFile

_LARGEST_BOOST: Final = 100.0
_MOST_BYTES: Final = 16 * 1024 * 1024

_Text = Annotated[str, Meta(min_length=1)]


class ItemRulesError(CartcastError):
    """The file of rules cannot be read, or makes no sense; one line for each thing that is wrong."""


class Never(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is never shown."""

    items: tuple[_Text, ...] = ()
    brands: tuple[_Text, ...] = ()
    categories: tuple[_Text, ...] = ()


class Boost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is added to the scores (logits) of an item, of a brand's, or of those of a category or below it."""

    by: Annotated[float, Meta(ge=-_LARGEST_BOOST, le=_LARGEST_BOOST)]
    item: _Text | None = None
    brand: _Text | None = None
    category: _Text | None = None


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that stands at a place, if it may be shown at all."""

    item: _Text
    place: Annotated[int, Meta(ge=1, le=MOST_ITEMS)]
    goal: Goal | None = None
    """Only where this is asked for."""
    category: _Text | None = None
    """Only where this category is asked for."""

    def applies(self, goal: str, category: str | None) -> bool:
        """Whether it is for this goal and category of a query."""
        is_category = self.category is None or (
            category is not None and levels_of(category) == levels_of(self.category)
        )
        return self.goal in {None, goal} and is_category

    def meets(self, other: "Pin") -> bool:
        """Whether some query is for both."""
        return (self.goal is None or other.goal in {None, self.goal}) and (
            None in {self.category, other.category} or levels_of(self.category or "") == levels_of(other.category or "")
        )


class ItemRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says."""

    never: Never = Never()
    boosts: Annotated[tuple[Boost, ...], Meta(max_length=1000)] = ()
    pins: Annotated[tuple[Pin, ...], Meta(max_length=100)] = ()
    per_category: Annotated[int, Meta(ge=1, le=MOST_ITEMS)] | None = None
    """What holds for queries that do not say it."""


NO_RULES: Final = ItemRules()


def read_rules(path: Path) -> ItemRules:
    """Read a file of YAML or JSON; raises ItemRulesError."""
    try:
        with path.open("rb") as file:
            written = file.read(_MOST_BYTES + 1)
    except OSError as failure:
        raise ItemRulesError(f"worker.item_rules: {path} cannot be read: {failure.strerror}") from None
    if len(written) > _MOST_BYTES:
        raise ItemRulesError(f"worker.item_rules: {path} has more than {_MOST_BYTES} bytes")
    try:
        decode = msgspec.json.decode if path.suffix == ".json" else msgspec.yaml.decode
        rules: ItemRules = decode(written, type=ItemRules)
    except (msgspec.DecodeError, UnicodeDecodeError) as invalid:
        raise ItemRulesError(f"worker.item_rules: {path}: {' '.join(str(invalid).split())}") from None
    if wrong := list(_wrong(rules)):
        raise ItemRulesError("\n".join(f"worker.item_rules: {path}: {line}" for line in wrong))
    return rules


def _wrong(rules: ItemRules) -> Iterator[str]:
    for number, boost in enumerate(rules.boosts):
        if sum(named is not None for named in (boost.item, boost.brand, boost.category)) != 1:
            yield f"boosts[{number}] must name one of item, brand and category"
    for (number, pin), (later, other) in combinations(enumerate(rules.pins), 2):
        if pin.meets(other) and pin.place == other.place:
            yield f"pins[{later}] is at place {pin.place}, where pins[{number}] is for some of the same queries"
        if pin.meets(other) and pin.item == other.item:
            yield f"pins[{later}] is the item of pins[{number}], for some of the same queries"
    never = set(rules.never.items)
    yield from (f"pins[{number}] is an item of never" for number, pin in enumerate(rules.pins) if pin.item in never)


class RulesFile(WatchedFile[ItemRules]):
    """The rules in force: those of a file, as it was last in order."""

    def __init__(self, path: Path | None) -> None:
        """Read the file, if there is one; raises ItemRulesError."""
        super().__init__(path, read_rules, lambda: NO_RULES if path is None else read_rules(path), what="rules")

    @property
    def rules(self) -> ItemRules:
        return self.content

    @property
    def status(self) -> Literal["current", "outdated"] | None:
        """`current` or `outdated`; None without a file."""
        if self._path is None:
            return None
        return "current" if self.is_current else "outdated"


NO_FILE: Final = RulesFile(None)
