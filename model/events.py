"""What a shopper did, and what the model says about it: the two message types of the pipeline, and their times."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

import msgspec

EVENT_TYPES: Final = (
    "view",
    "search",
    "favorite",
    "cart",
    "remove_from_cart",
    "checkout",
    "purchase",
    "review",
    "refund",
    "other",
)
"""The canonical types; a type's position is its code in arrays. Any other type string counts as `other`."""

TYPE_CODES: Final = {name: code for code, name in enumerate(EVENT_TYPES)}
OTHER: Final = TYPE_CODES["other"]
PURCHASE: Final = TYPE_CODES["purchase"]

IDENTIFY: Final = "identify"
"""The type of an event that says no more than that two ids are one shopper: a log-in. To the model it is `other`."""
IMPRESSION: Final = "impression"
"""The type of an event that says which items a page showed: not what a shopper did, so nothing is learnt from it."""
IMPRESSION_CODE: Final = len(EVENT_TYPES)
STORED_TYPES: Final = (*EVENT_TYPES, IMPRESSION)
"""Every `event_type` of a score."""
MAX_SHOWN: Final = 500
"""The most items of an impression."""
MAX_SHOWN_BYTES: Final = 65_536
"""The longest list of an impression as JSON, so that its score is not larger than topics take."""

MIN_EVENT_TIME_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
MAX_EVENT_TIME_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00:00Z
MAX_ID_BYTES: Final = 1024
MAX_NESTING: Final = 64

InputFormat = Literal["cartcast", "segment", "ga4"]
INPUT_FORMATS: Final[tuple[InputFormat, ...]] = get_args(InputFormat)
"""What the events topic may carry: canonical events, or those of another system, one event per record."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One behaviour event in canonical form, as `replay` and `simulate` write it.

    `ts` is epoch milliseconds, `price` is per unit.
    """

    event_id: str
    user_id: str
    type: str
    ts: int
    item_id: str | None = None
    category: str | None = None
    price: float | None = None
    quantity: float | None = None
    rating: float | None = None
    text: str | None = None
    anonymous_id: str | None = None
    """Under which id the shopper was known before: its state becomes the user's (model/identity.py)."""
    context: dict[str, str] | None = None
    """Texts, and in `consent` what the shopper wishes, as it was said: any JSON."""
    attributes: dict[str, str | float] | None = None
    """Those that a shop's definition names, if there is one."""
    items: list[str] | None = None
    """Of an impression: the items in the order shown."""
    model_version: str | None = None
    """Of an impression: which model, or rule, made the list."""
    placement: str | None = None
    """Of an impression: where the list was shown."""

    @property
    def channel(self) -> str | None:
        """Where the shopper came from, as the context says."""
        return None if self.context is None else self.context.get("channel")


class Score(msgspec.Struct, frozen=True, gc=False):
    """One accepted event with its propensities at the standard horizons, as the scores topic and ClickHouse hold it.

    `propensity_*` is the probability of at least one purchase by this user after this event: in the rest of
    the session (gap 30 minutes), within 1 hour, within 24 hours. Times are epoch milliseconds. `channel` is what the
    event's context says; `source_timestamp` is the Kafka timestamp of the event's record, from which delays count.
    `quantity`, `rating`, `anonymous_id` and the first 2,000 characters of `text` are there if the event has them. An
    impression is not scored: its propensities are null, and it alone has `shown`. `shift_*` is how far the level
    correction has moved the log-odds of a propensity; without a level there is no such field.
    """

    user_id: str
    event_id: str
    event_type: str
    item_id: str | None
    category: str | None
    price: float | None
    event_time: int
    propensity_session: float | None
    propensity_1h: float | None
    propensity_24h: float | None
    model: str
    source_topic: str
    source_partition: int
    source_offset: int
    scored_at: int
    channel: str | None
    source_timestamp: int
    quantity: float | msgspec.UnsetType = msgspec.UNSET
    rating: float | msgspec.UnsetType = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET
    anonymous_id: str | msgspec.UnsetType = msgspec.UNSET
    shown: list[str] | msgspec.UnsetType = msgspec.UNSET
    shown_by: str | msgspec.UnsetType = msgspec.UNSET
    placement: str | msgspec.UnsetType = msgspec.UNSET
    shift_session: float | msgspec.UnsetType = msgspec.UNSET
    shift_1h: float | msgspec.UnsetType = msgspec.UNSET
    shift_24h: float | msgspec.UnsetType = msgspec.UNSET


def anonymous_id_of(user_id: str, anonymous_id: str | None) -> str | None:
    """Return an event's anonymous id; None if it says nothing, as an empty one or the user's own id."""
    return anonymous_id if anonymous_id and anonymous_id != user_id else None


def epoch_ms(moment: datetime) -> int:
    """Return the epoch milliseconds of a time with a zone, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def parse_time_ms(text: str) -> int:
    """Return the epoch milliseconds of an RFC 3339 time with an offset; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset from UTC")
    return epoch_ms(moment)


def parse_moment_ms(text: str) -> int:
    """Return the epoch milliseconds of an RFC 3339 time, or of a day's beginning in UTC; raises ValueError."""
    if "T" in text.upper() or " " in text:
        return parse_time_ms(text)
    return epoch_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


def is_in_years(time_ms: int) -> bool:
    """Whether a time lies in the years 2000 to 2099, as every shopper's does whose clock is right."""
    return MIN_EVENT_TIME_MS <= time_ms < MAX_EVENT_TIME_MS


def within_bounds(time_ms: int) -> int:
    """Return a time, or if it lies before 1970 or after 2100, the nearest that does not: it is wrong anyway."""
    return min(max(time_ms, 0), MAX_EVENT_TIME_MS)


def meant_unit(number: int) -> str | None:
    """Return the unit in which a number, outside these years in milliseconds, is a time within them; None for none."""
    ms_of = {"seconds": number * 1000, "microseconds": number // 1000, "nanoseconds": number // 1_000_000}
    return next((unit for unit, time_ms in ms_of.items() if is_in_years(time_ms)), None)


def rfc3339(time_ms: int) -> str:
    """Return epoch milliseconds as an RFC 3339 time in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


EXPECTED_VALUE: Final = "expected_value"
"""The field of a score for the money to expect: what purchases are worth in the time that the shop's `money` names."""


def propensity_field(horizon: str) -> str:
    """Return the name under which a horizon's propensity is published, on the topic and in files."""
    return f"propensity_{horizon}"
