"""A shop's own definition: its event types, attributes of events, goals beside purchase, and money.

It is written in one file, `shop.yml` (docs/shop.md), given to `cartcast train`, and kept in the checkpoint: so what
scores live, replays, scores offline and explains reads events exactly as the training did. Without one everything is
as if this module did not exist.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
import xxhash

from model.events import EVENT_TYPES, EXPECTED_VALUE, STORED_TYPES
from model.horizons import SESSION, horizon_ms, horizon_words
from service.errors import CartcastError

MAX_TYPES: Final = 200
MAX_ATTRIBUTES: Final = 32
MAX_GOALS: Final = 16

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NO_TYPE: Final = "none"


class ShopError(CartcastError):
    """A shop's definition makes no sense; the text names the place in it, and what to write instead."""


class Attribute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"path": "from"}):
    """A property of an event that the model sees."""

    kind: Literal["numeric", "categorical"]
    path: str | None = None
    """Where events have it: a field (`brand`), or one inside an object (`context.device`, `properties.cart.value`).
    A canonical event may always give it by name in its object `attributes`, which goes first. Without a path, events of
    other formats have it by name where they keep details (`model.attributes`)."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"equals": "is"}):
    """What a goal asks of a field of the event; all that is given must hold, and an event without the field fails."""

    equals: str | float | None = None
    one_of: tuple[str | float, ...] | None = None
    at_least: float | None = None
    below: float | None = None

    def holds(self, value: str | float | None) -> bool:
        """Whether a field's value is as asked; a text is neither above nor below anything."""
        if value is None or (self.equals is not None and value != self.equals):
            return False
        if self.one_of is not None and value not in self.one_of:
            return False
        if self.at_least is None and self.below is None:
            return True
        if isinstance(value, str) or (self.at_least is not None and value < self.at_least):
            return False
        return self.below is None or value < self.below

    @property
    def words(self) -> str:
        """What is asked, as in `at least 50 and below 100`."""
        said = [str(self.equals)] if self.equals is not None else []
        said += [" or ".join(map(str, self.one_of))] if self.one_of is not None else []
        said += [f"at least {self.at_least:g}"] if self.at_least is not None else []
        said += [f"below {self.below:g}"] if self.below is not None else []
        return " and ".join(said)


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event that a shopper may bring about, and the time in which it counts."""

    event: tuple[str, ...]
    """Types of event, any of them; of a built-in type also the shop's own types that behave like it."""
    within: str
    """`session` or a duration such as 1h or 7d."""
    where: dict[str, Condition] = {}
    """By field of the event: price, quantity, value (price times quantity), rating, item_id, category, channel, or an
    attribute's name."""

    @property
    def words(self) -> str:
        """The goal as people say it, such as `cart with price at least 50, within 1 hour`."""
        asked = " and ".join(f"{field} {condition.words}" for field, condition in self.where.items())
        return f"{' or '.join(self.event)}{f' with {asked}' if asked else ''}, {horizon_words(self.within)}"


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The expected value of a shopper's purchases, price times quantity, within a time after each event."""

    within: str
    currency: Annotated[str, msgspec.Meta(max_length=8)] = ""
    """For people: what prices are in."""

    @property
    def words(self) -> str:
        """The currency and the time, such as `EUR within 7 days`."""
        return f"{self.currency} {horizon_words(self.within)}".strip()


class Shop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A valid definition; `Shop()` is that of a shop without one."""

    types: dict[str, str] = {}
    """The built-in type that each type of the shop's own behaves like, or `none`."""
    attributes: dict[str, Attribute] = {}
    goals: dict[str, Goal] = {}
    money: Money | None = None

    def goal(self, name: str) -> Goal:
        """Return what a column of propensities predicts: the goal of that name, or a purchase within that horizon."""
        return self.goals.get(name) or Goal(event=("purchase",), within=name)

    def within(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the time in which each of these goals and horizons counts."""
        return tuple(self.goal(name).within for name in names)

    def title(self, name: str) -> str:
        """Return `Within 24 hours` for the horizon `24h`, `Add to cart` for the goal `add_to_cart`."""
        title = name.replace("_", " ") if name in self.goals else horizon_words(name).removeprefix("in the ")
        return title[0].upper() + title[1:]

    def followed_by(self, name: str) -> str:
        """Return what has to follow an event for its label to be positive."""
        return f"an event that meets goal {name}" if name in self.goals else "a purchase"

    @property
    def event_types(self) -> tuple[str, ...]:
        """The names of all types of event; a type's position is its code in arrays."""
        return (*EVENT_TYPES, *self.types)

    @property
    def behaves_like(self) -> tuple[str, ...]:
        """The built-in type of each of `event_types`; `other` for those that behave like none."""
        own = ("other" if like == _NO_TYPE else like for like in self.types.values())
        return (*EVENT_TYPES, *own)

    @property
    def type_hashes(self) -> tuple[int, ...]:
        """What a state holds of each of `event_types`: 0 of built-in ones, a hash of 16 bits of the others' names."""
        return (*(0 for _ in EVENT_TYPES), *distinct_hashes(self.types))

    @property
    def has_own_events(self) -> bool:
        """Whether events are read in another way than without a definition."""
        return bool(self.types or self.attributes)

    @property
    def categorical(self) -> tuple[str, ...]:
        """The names of the categorical attributes, in the order of their columns."""
        return tuple(name for name, attribute in self.attributes.items() if attribute.kind == "categorical")

    @property
    def numeric(self) -> tuple[str, ...]:
        """The names of the numeric attributes, in the order of their columns."""
        return tuple(name for name, attribute in self.attributes.items() if attribute.kind == "numeric")


def distinct_hashes(names: Iterable[str]) -> list[int]:
    """Return hashes of names, 1..65535, no two of them equal; what is added behind them changes none."""
    found: dict[int, None] = {}
    for name in names:
        code = xxhash.xxh32_intdigest(name.encode()) % 65_535 + 1
        while code in found:
            code = code % 65_535 + 1
        found[code] = None
    return list(found)


NO_SHOP: Final = Shop()
"""Built-in types, purchases and the standard features alone."""


def shop_of(definition: object) -> Shop:
    """Return the shop that the parsed file defines; raises ShopError with one line."""
    try:
        shop = msgspec.convert(_as_lists(definition), Shop)
    except msgspec.ValidationError as failure:
        raise ShopError(_in_words(failure)) from None
    _check_names("types", shop.types, MAX_TYPES)
    _check_names("attributes", shop.attributes, MAX_ATTRIBUTES)
    _check_names("goals", shop.goals, MAX_GOALS)
    _check_events(shop)
    for name, goal in shop.goals.items():
        _check_goal(name, goal, shop)
    if shop.money is not None:
        _check_within("money.within", shop.money.within)
    return shop


GOAL_FIELDS: Final = ("price", "quantity", "value", "rating", "item_id", "category", "channel")
"""What a goal's `where` may name beside attributes."""
TEXT_FIELDS: Final = frozenset({"item_id", "category", "channel"})
"""Those of them that are texts."""


def _as_lists(definition: object) -> object:
    """Return the definition with `event: cart` as a list, and `where: {brand: acme}` as `{brand: {is: acme}}`."""
    if not isinstance(definition, dict) or not isinstance(definition.get("goals"), dict):
        return definition
    goals = {name: _whole_goal(goal) if isinstance(goal, dict) else goal for name, goal in definition["goals"].items()}
    return {**definition, "goals": goals}


def _whole_goal(goal: dict[str, Any]) -> dict[str, Any]:
    where = goal.get("where")
    if isinstance(where, dict):
        where = {field: one if isinstance(one, dict) else {"is": one} for field, one in where.items()}
        goal = {**goal, "where": where}
    return {**goal, "event": [goal["event"]]} if isinstance(goal.get("event"), str) else goal


def _check_names(part: str, named: dict[str, Any], most: int) -> None:
    if len(named) > most:
        raise ShopError(f"{part}: {len(named)} are more than {most}")
    for name in named:
        if part != "types" and not _NAME.fullmatch(name):
            raise ShopError(f"{part}.{name}: write names in lower case, digits and _, at most 40 characters")
        if not 0 < len(name.encode()) <= 100:
            raise ShopError(f"{part}: a name has 1 to 100 bytes")


def _check_events(shop: Shop) -> None:
    for name, attribute in shop.attributes.items():
        if attribute.path is not None and not all(attribute.path.split(".")):
            raise ShopError(f"attributes.{name}.from: {attribute.path!r} has a part without a name")
    for name, like in shop.types.items():
        if name in STORED_TYPES:
            raise ShopError(f"types.{name}: is a built-in type already; leave it out")
        if like not in (*EVENT_TYPES, _NO_TYPE):
            raise ShopError(f"types.{name}: {like!r} is no built-in type; choose one of {', '.join(EVENT_TYPES)}, none")


def _check_goal(goal_name: str, goal: Goal, shop: Shop) -> None:
    place = f"goals.{goal_name}"
    if goal_name in {SESSION, EXPECTED_VALUE}:
        raise ShopError(f"{place}: is the name of something else that a model predicts; choose another")
    for name in goal.event:
        if name not in shop.event_types:
            raise ShopError(f"{place}.event: {name!r} is neither a built-in type nor one of `types`")
    if not goal.event:
        raise ShopError(f"{place}.event: names no type of event")
    _check_within(f"{place}.within", goal.within)
    for field, condition in goal.where.items():
        if field not in GOAL_FIELDS and field not in shop.attributes:
            raise ShopError(
                f"{place}.where: {field!r} is neither one of {', '.join(GOAL_FIELDS)} nor one of `attributes`"
            )
        _check_condition(f"{place}.where.{field}", condition, is_text=_is_text(field, shop))


def _is_text(field: str, shop: Shop) -> bool:
    attribute = shop.attributes.get(field)
    return field in TEXT_FIELDS if attribute is None else attribute.kind == "categorical"


def _check_condition(place: str, condition: Condition, *, is_text: bool) -> None:
    if not condition.words:
        raise ShopError(f"{place}: asks nothing; write is, one_of, at_least or below")
    if is_text and (condition.at_least is not None or condition.below is not None):
        raise ShopError(f"{place}: is a text, which is neither at least nor below a number; write is or one_of")
    compared = (*(condition.one_of or ()), *(() if condition.equals is None else (condition.equals,)))
    for value in compared:
        if isinstance(value, str) != is_text:
            kind = "text: write it in quotes" if is_text else "number: write it without quotes"
            raise ShopError(f"{place}: {value!r} is no {kind}")
    if not _can_hold(condition, compared):
        raise ShopError(f"{place}: no value is {condition.words}")


def _can_hold(condition: Condition, compared: Iterable[str | float]) -> bool:
    """Whether any value is as asked; of numbers between two limits there is one if the lower one is."""
    lower = float("-inf") if condition.at_least is None else condition.at_least
    values = list(compared) or [lower]
    return any(value == value and condition.holds(value) for value in values)  # noqa: PLR0124 - NaN is not itself


def _check_within(place: str, within: str) -> None:
    if within == SESSION:
        return
    try:
        horizon_ms(within)
    except ValueError as failure:
        raise ShopError(f"{place}: {failure}") from None


def _in_words(failure: msgspec.ValidationError) -> str:
    """Return msgspec's sentence with the place first, as the file has it."""
    if " - at `key` in `$" in str(failure):
        said, _, place = str(failure).partition(" - at `key` in `$")
        return f"{place.rstrip('`').removeprefix('.')}: a name is no text: write it in quotes"
    said, _, place = str(failure).partition(" - at `$")
    place = place.rstrip("`").removeprefix(".").replace("[...]", ".<name>")
    return f"{place}: {said[:1].lower()}{said[1:]}" if place else f"{said[:1].lower()}{said[1:]}"
