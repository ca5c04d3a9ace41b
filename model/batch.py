"""The columnar batch that the sequence model works on, wherever the events came from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, Self, cast

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from model.attributes import LABELS, Values
from model.core.byte_strings import ByteStrings
from model.core.texts import ANONYMOUS_ID, CATEGORY, CHANNEL, EVENT_ID, ITEM_ID, PRICE, TEXTS, USER_ID, EventTexts
from model.events import IDENTIFY, IMPRESSION, IMPRESSION_CODE, OTHER, TYPE_CODES, anonymous_id_of
from model.items.codes import item_code, item_codes
from model.shop import NO_SHOP, Shop
from model.text import token_codes

MAX_CHANNEL_CHARACTERS: Final = 200
"""A longer channel is left out: a context never makes an event invalid."""

_encode: Final = msgspec.json.Encoder().encode


class EventLike(Protocol):
    """The fields of an event that a batch reads: `model.events.Event` and the decoder's wire form both have it."""

    @property
    def event_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def ts(self) -> int | str: ...
    @property
    def item_id(self) -> str | None: ...
    @property
    def category(self) -> str | None: ...
    @property
    def price(self) -> float | None: ...
    @property
    def quantity(self) -> float | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def rating(self) -> float | None: ...
    @property
    def anonymous_id(self) -> str | None: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def attributes(self) -> Values | None: ...


class ImpressionLike(EventLike, Protocol):
    """The same of an impression."""

    @property
    def items(self) -> list[str] | None: ...
    @property
    def model_version(self) -> str | None: ...
    @property
    def placement(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class OwnColumns:
    """What a shop defines of its own, as columns of a batch; each has one entry per event."""

    types: npt.NDArray[np.uint8]
    """Positions in `Shop.event_types` `(events,)`."""
    type_hashes: npt.NDArray[np.uint16]
    """What a state holds of the types, 0 of built-in ones."""
    labels: npt.NDArray[np.uint8]
    """Codes of categorical attributes `(events, len(Shop.categorical))`, 0 for unknown."""
    numbers: npt.NDArray[np.float16]
    """Numeric attributes as `number_codes` makes them `(events, len(Shop.numeric))`, NaN for unknown."""

    @classmethod
    def of(cls, shop: Shop, types: Sequence[str], attributes: Sequence[Values | None]) -> Self:
        """Make the columns of some events' types and attributes."""
        codes = {name: code for code, name in enumerate(shop.event_types)}
        given = [one or {} for one in attributes]
        labels = [[label_code(one.get(name)) for name in shop.categorical] for one in given]
        numbers = [[one.get(name, math.nan) for name in shop.numeric] for one in given]
        type_codes = np.array([codes.get(name, OTHER) for name in types], np.uint8)
        return cls(
            type_codes,
            np.array(shop.type_hashes, np.uint16)[type_codes],
            np.array(labels, np.uint8).reshape(len(given), len(shop.categorical)),
            number_codes(np.array(numbers, np.float64).reshape(len(given), len(shop.numeric))),
        )

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return the columns of some events."""
        return type(self)(*(getattr(self, column.name)[rows] for column in fields(self)))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Join the columns of several batches."""
        columns = (column.name for column in fields(cls))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events as columns; every column has one entry per event, in order of arrival.

    `positions` are indices into whatever the batch was made from (records of a fetch, rows of a file).
    """

    positions: npt.NDArray[np.int64]
    texts: EventTexts
    type_codes: npt.NDArray[np.uint8]
    """Built-in types: of a shop's own types, the ones that they behave like; IMPRESSION_CODE of impressions."""
    event_time_ms: npt.NDArray[np.int64]
    prices: npt.NDArray[np.float64]
    """Unit price, NaN where the event has none."""
    event_hashes: npt.NDArray[np.uint64]
    """64-bit hash of the event id, never 0."""
    item_codes: npt.NDArray[np.uint32]
    """32-bit hash of the item id, 0 where the event has none."""
    category_codes: npt.NDArray[np.uint16]
    token_codes: npt.NDArray[np.uint16]
    """Codes of words that the shopper wrote `(events, TOKENS)`, 0 for none."""
    identifies: npt.NDArray[np.bool_]
    """Whether the event is of type `identify`, which is OTHER in `type_codes`."""
    own: OwnColumns | None = None
    """The shop's own types and attributes; None without a definition of any."""
    shown: ByteStrings | None = None
    """What scores of impressions say besides, as JSON with a comma before each field; None if there are none."""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def user_ids(self) -> list[str]:
        return cast("list[str]", self.texts.strings(USER_ID))

    @property
    def event_ids(self) -> list[str]:
        return cast("list[str]", self.texts.strings(EVENT_ID))

    @property
    def item_ids(self) -> list[str | None]:
        return self.texts.strings(ITEM_ID)

    @property
    def categories(self) -> list[str | None]:
        return self.texts.strings(CATEGORY)

    @property
    def anonymous_ids(self) -> list[str | None]:
        return self.texts.strings(ANONYMOUS_ID)

    @property
    def channels(self) -> list[str | None]:
        return self.texts.strings(CHANNEL)

    def attributes(self, shop: Shop) -> list[Values | None]:
        """Return the attributes of every event that `shop` has been read with."""
        named = [
            (name, self.texts.strings(TEXTS + place), attribute.kind == "numeric")
            for place, (name, attribute) in enumerate(shop.attributes.items())
        ]
        found: list[Values | None] = [
            {
                name: float(texts[row] or 0) if is_numeric else texts[row] or ""
                for name, texts, is_numeric in named
                if texts[row]
            }
            or None
            for row in range(len(self))
        ]
        return found

    def take(self, rows: npt.NDArray[np.int64]) -> "EventBatch":
        """Return some of the events, in the order of `rows`."""
        return EventBatch(*(_rows(getattr(self, column.name), rows) for column in fields(self)))

    @classmethod
    def concatenated(cls, batches: "Sequence[EventBatch]") -> "EventBatch":
        """Return one batch of all events; `positions` still refer to what each batch was made from."""
        columns = {
            column.name: np.concatenate([getattr(batch, column.name) for batch in batches])
            for column in fields(cls)
            if column.name not in {"texts", "own", "shown"}
        }
        own = [batch.own for batch in batches if batch.own is not None]
        shown = None
        if any(batch.shown is not None for batch in batches):
            shown = ByteStrings.concatenated([batch.shown or ByteStrings.none(len(batch)) for batch in batches])
        return cls(
            texts=EventTexts.concatenated([batch.texts for batch in batches]),
            own=OwnColumns.concatenated(own) if own else None,
            shown=shown,
            **columns,
        )


def _rows(column: Any, rows: npt.NDArray[np.int64]) -> Any:  # noqa: ANN401 - an array of whatever type, or texts
    if column is None:
        return None
    return column.take(rows) if isinstance(column, EventTexts | OwnColumns | ByteStrings) else column[rows]


def event_hash(event_id: str) -> int:
    """Return the 64-bit hash by which a repeated event id is recognised; 0 means an empty slot and is avoided."""
    return xxhash.xxh3_64_intdigest(event_id.encode()) or 1


def id_code(identifier: str | None) -> int:
    """Return the 16-bit code of an item or category id, 1..65535, or 0 for none: the lower half of `item_code`."""
    return item_code(identifier) & 0xFFFF if identifier else 0


def label_code(value: str | float | None) -> int:
    """Return the code of a categorical value, 1..255, or 0 for none; the same in every process."""
    return xxhash.xxh3_64_intdigest(value.encode()) % (LABELS - 1) + 1 if isinstance(value, str) and value else 0


def number_codes(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float16]:
    """Return the signed log1p of numbers, which a state and the network hold of them, to half precision."""
    return np.copysign(np.log1p(np.abs(numbers)), numbers).astype(np.float16)


def _channel(given: str | None) -> str | None:
    """Return a channel's name; None if it is empty or too long."""
    return given if given and len(given) <= MAX_CHANNEL_CHARACTERS else None


def batch_of(
    events: Sequence[EventLike],
    positions: npt.NDArray[np.int64] | None = None,
    *,
    with_texts: bool = True,
    shop: Shop = NO_SHOP,
) -> EventBatch:
    """Turn valid events into columns; `positions` are 0, 1, 2 ... if not given.

    Who has the events need not have their texts once more; of these only anonymous ids are read by what appends.
    """
    items = [event.item_id for event in events]
    categories = [event.category for event in events]
    event_ids = [event.event_id for event in events]
    prices = [None if event.price is None else event.price + 0.0 for event in events]  # -0.0 becomes 0.0
    codes = {name: TYPE_CODES[like] for name, like in zip(shop.event_types, shop.behaves_like, strict=True)}
    codes[IMPRESSION] = IMPRESSION_CODE
    own = None
    if shop.has_own_events:
        own = OwnColumns.of(shop, [event.type for event in events], [event.attributes for event in events])
    return EventBatch(
        positions=np.arange(len(events)) if positions is None else positions,
        texts=_texts_of(events, prices, shop) if with_texts else _identities_of(events, len(shop.attributes)),
        type_codes=np.array([codes.get(event.type, OTHER) for event in events], np.uint8),
        event_time_ms=np.array([event.ts for event in events], np.int64),
        prices=np.array([math.nan if price is None else price for price in prices], np.float64),
        event_hashes=np.array(list(map(event_hash, event_ids)), np.uint64),
        item_codes=item_codes(items),
        category_codes=np.array(list(map(id_code, categories)), np.uint16),
        identifies=np.array([event.type == IDENTIFY for event in events], np.bool_),
        token_codes=token_codes([event.text for event in events], [event.rating for event in events]),
        own=own,
        shown=_shown_by(events) if with_texts else None,
    )


def _shown_by(events: Sequence[EventLike]) -> ByteStrings | None:
    if all(event.type != IMPRESSION for event in events):
        return None
    return ByteStrings.of(
        [_shown(cast("ImpressionLike", event)) if event.type == IMPRESSION else None for event in events]
    )


def _shown(event: ImpressionLike) -> bytes:
    """Return what the score of an impression says of the list, as JSON with a comma before each field."""
    given = {"shown": event.items, "shown_by": event.model_version, "placement": event.placement}
    return b"".join(b',"%s":%s' % (name.encode(), _encode(one)) for name, one in given.items() if one)


def _identities_of(events: Sequence[EventLike], attributes: int) -> EventTexts:
    """Return texts of events of which only the anonymous ids are there."""
    ids = [anonymous_id_of(event.user_id, event.anonymous_id) for event in events]
    if not any(ids):
        return EventTexts.none(len(events), attributes)
    nothing: list[None] = [None] * len(events)
    columns = [ids if text == ANONYMOUS_ID else nothing for text in range(PRICE)]
    return EventTexts.of(columns, [nothing] * (TEXTS - PRICE + attributes))


def _texts_of(events: Sequence[EventLike], prices: Sequence[float | None], shop: Shop) -> EventTexts:
    columns = (
        [event.user_id for event in events],
        [event.event_id for event in events],
        [event.item_id for event in events],
        [event.category for event in events],
        [_channel(event.channel) for event in events],
        [event.text for event in events],
        [anonymous_id_of(event.user_id, event.anonymous_id) for event in events],
    )
    numbers = (prices, [event.quantity for event in events], [event.rating for event in events])
    attributes = [[(event.attributes or {}).get(name) for event in events] for name in shop.attributes]
    return EventTexts.of(columns, (*numbers, *attributes))
