"""What items a shopper is to be shown: a request's query, checked, and who answers it."""

from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal, Protocol, get_args

import msgspec
from msgspec import Meta

from model.events import MAX_ID_BYTES
from streams.lookups.answers import Goal, ShopperItems, SimilarItems

MOST_ITEMS: Final = 1000
DEFAULT_ITEMS: Final = 20
DEFAULT_GOAL: Final[Goal] = "view"
MOST_KNOWN_ITEMS: Final = 500
MOST_USERS: Final = 500
"""In one call."""
Exclusion = Literal["seen", "bought", "out_of_stock"]
EXCLUSIONS: Final[tuple[Exclusion, ...]] = get_args(Exclusion)
DEFAULT_EXCLUSIONS: Final[tuple[Exclusion, ...]] = ("out_of_stock",)
_GOALS: Final[tuple[Goal, ...]] = get_args(Goal)
_NAMES: Final = ("k", "goal", "exclude", "category", "per_category")


_Count = Annotated[int, Meta(ge=1, le=MOST_ITEMS)]


class InvalidQuery(Exception):  # noqa: N818 - exceptions here are named as facts
    """The query makes no sense; the text says why, in a sentence that a client may see."""


class ItemQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which items are wanted."""

    k: Annotated[_Count, Meta(description="How many items")] = DEFAULT_ITEMS
    goal: Annotated[Goal, Meta(description="What the shopper should do next with them")] = DEFAULT_GOAL
    exclude: Annotated[frozenset[Exclusion], Meta(description="What to leave out")] = frozenset(DEFAULT_EXCLUSIONS)
    category: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)] | None,
        Meta(description="Only items of this category or below it, as the catalogue or events write it"),
    ] = None
    per_category: Annotated[_Count | None, Meta(description="At most so many items of each category")] = None

    @classmethod
    def of(cls, given: Mapping[str, Collection[str]]) -> "ItemQuery":
        """Read a query's parameters, by name all values that were given; raises InvalidQuery."""
        if unknown := sorted(set(given) - set(_NAMES)):
            raise InvalidQuery(f"{unknown[0][:40]!r} is no parameter; there are {', '.join(_NAMES)}")
        if repeated := [name for name, values in given.items() if len(values) > 1]:
            raise InvalidQuery(f"give {repeated[0]} once")
        texts = {name: next(iter(values)) for name, values in given.items()}
        return cls(
            k=_number_of_items("k", texts.get("k", str(DEFAULT_ITEMS))),
            goal=_goal(texts.get("goal", DEFAULT_GOAL)),
            exclude=exclusions_of(texts.get("exclude", ",".join(DEFAULT_EXCLUSIONS))),
            category=_category(texts.get("category")),
            per_category=_number_of_items("per_category", texts["per_category"]) if "per_category" in texts else None,
        )


def number_asked(given: Mapping[str, Collection[str]]) -> int:
    """Return the `k` of a query that has no other parameter; raises InvalidQuery."""
    if unknown := sorted(set(given) - {"k"}):
        raise InvalidQuery(f"{unknown[0][:40]!r} is no parameter; there is k")
    return ItemQuery.of(given).k


class UsersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which shoppers are asked for, and whether for themselves or for their items."""

    user_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=MOST_USERS)]
    items: Annotated[ItemQuery | None, Meta(description="If given, what each may want next; as in GET")] = None


class ItemsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which items are asked for."""

    item_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=MOST_KNOWN_ITEMS)]


class Recommender(Protocol):
    """Answers which items a shopper is likeliest to want next, and which are alike."""

    async def items(self, user: bytes, partition: int, query: ItemQuery) -> ShopperItems:
        """Return items for a shopper of this partition; raises the errors of `streams.lookups.lookup`."""
        ...

    async def similar(self, row: int, count: int) -> SimilarItems:
        """Return the items most like the one of a catalogue's row."""
        ...


def _number_of_items(name: str, text: str) -> int:
    # At most four digits: Python refuses to read thousands of them, and int() takes signs, spaces and underscores.
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_ITEMS:
        return int(text)
    raise InvalidQuery(f"{name} is no whole number from 1 to {MOST_ITEMS}")


def _goal(text: str) -> Goal:
    for goal in _GOALS:
        if goal == text:
            return goal
    raise InvalidQuery(f"goal is none of {', '.join(_GOALS)}")


def exclusions_of(text: str) -> frozenset[Exclusion]:
    """Return the names of what is left out, given by commas; raises InvalidQuery."""
    names = {name.strip() for name in text.split(",")} - {""}
    if names - set(EXCLUSIONS):
        raise InvalidQuery(f"exclude holds something else than {', '.join(EXCLUSIONS)}")
    return frozenset(name for name in EXCLUSIONS if name in names)


def _category(text: str | None) -> str | None:
    if text is not None and not 0 < len(text.encode(errors="replace")) <= MAX_ID_BYTES:
        raise InvalidQuery(f"category has no text, or more than {MAX_ID_BYTES} bytes")
    return text
