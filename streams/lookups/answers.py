"""What the look-up API answers: its messages. Whoever asks can import them without PyTorch."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Goal = Literal["view", "cart", "purchase"]
"""What the shopper should do next with an item."""

ByHorizon = Annotated[
    dict[str, float], Meta(description="By the model's horizons, `session`, `1h` and `24h` if it has the standard ones")
]
ChangeByHorizon = Annotated[
    dict[str, float | None],
    Meta(description="By horizon; null if the event is the only stored one"),
]


AskedFor = Annotated[
    str | msgspec.UnsetType,
    Meta(
        description="The id that was asked for, if it is an anonymous one that is joined to `user_id` and has done "
        "nothing since: the answer is about that user; absent otherwise"
    ),
]


class AsOf(msgspec.Struct, frozen=True):
    """Up to which record the answer knows the shopper."""

    topic: str
    partition: int
    offset: Annotated[
        int | None,
        Meta(description="Offset of the shopper's last event; null if an earlier topic of this name had it"),
    ]


class StoredEvent(msgspec.Struct, frozen=True):
    """One of the shopper's last events, as the table keeps it."""

    event_time: Annotated[
        int,
        Meta(
            description="Epoch milliseconds, to the second, and within 0.003 % of each gap of more than 9 hours until "
            "the last event; not earlier than the event before"
        ),
    ]
    type: str
    event_hash: Annotated[
        str,
        Meta(
            description="The first 9 of the 16 hexadecimal digits of the event id's XXH3 (64 bits); ClickHouse: "
            "left(leftPad(lower(hex(xxh3(event_id))), 16, '0'), 9)"
        ),
    ]


class Shopper(msgspec.Struct, frozen=True):
    """A shopper's latest propensities and last events."""

    user_id: str
    propensities: ByHorizon
    model: str
    rebuilt: Annotated[
        bool,
        Meta(
            description="False: as published after the last event. True: another model, or an earlier version, scored "
            "that, or another id was joined since; computed now from the stored events alone"
        ),
    ]
    last_event_time: Annotated[int, Meta(description="Epoch milliseconds")]
    events: Annotated[int, Meta(description="Accepted so far")]
    last_events: Annotated[list[StoredEvent], Meta(description="The stored ones, newest last; at most 32")]
    as_of: AsOf
    asked_for: AskedFor = msgspec.UNSET
    joined_to: Annotated[
        str | msgspec.UnsetType,
        Meta(
            description="Of an anonymous id that began afresh: the user to whom what it did before was joined last; "
            "absent of others"
        ),
    ] = msgspec.UNSET


class Attribution(StoredEvent, frozen=True):
    """A stored event, and by how much it moved the propensities: what the stored events give, less without it."""

    position: Annotated[int, Meta(description="How many events lie between it and the explained one, which is 0")]
    contribution: ChangeByHorizon
    log_odds: ChangeByHorizon


class ShopperExplanation(msgspec.Struct, frozen=True):
    """Which of the stored events moved the propensities after one of them: each is left out in turn."""

    user_id: str
    model: str
    event: Annotated[StoredEvent, Meta(description="The one that is explained")]
    propensity: Annotated[
        dict[str, float] | None,
        Meta(description="As published; null if the table does not know: it keeps those after the last event only"),
    ]
    from_ring: Annotated[
        dict[str, float],
        Meta(
            description="What the stored events alone give: this is what is explained. It differs from the published "
            "propensity by what older events say"
        ),
    ]
    earlier_events: Annotated[int, Meta(description="How many accepted events lie before the stored ones")]
    events: Annotated[list[Attribution], Meta(description="Newest last; the last one is the event that is explained")]
    as_of: AsOf
    asked_for: AskedFor = msgspec.UNSET


class Item(msgspec.Struct, frozen=True):
    """What a worker knows of an item."""

    item_id: str
    title: Annotated[str | None, Meta(description="Its first 255 bytes")]
    category: str | None
    brand: str | None
    price: float | None
    in_stock: Annotated[bool | None, Meta(description="Whether it can be ordered; null if the shop does not say")]
    known_from: Annotated[
        Literal["catalogue", "events"],
        Meta(description="`events`: it is not on the items topic; those that this worker scores named it"),
    ]


class KnownItems(msgspec.Struct, frozen=True):
    """What a worker knows of many items."""

    topic: Annotated[
        str, Meta(description="Topic of the events that the worker scores, as in `as_of`: which pipeline answers")
    ]
    items: Annotated[list[Item], Meta(description="Those of `item_ids` that are known, each once")]


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item is suggested."""

    kind: Annotated[
        Literal["event", "popular", "new", "pinned", "boosted"],
        Meta(
            description="`event`: because of what the shopper did; `popular`: others want it now; `new`: few know it; "
            "`pinned`, `boosted`: a rule of the shop puts it there, or adds to its score"
        ),
    ]
    event: Annotated[StoredEvent | None, Meta(description="The event, of kind `event`")] = None
    item_id: Annotated[str | None, Meta(description="The event's item")] = None
    title: str | None = None
    contribution: Annotated[
        float | None,
        Meta(description="By how much the event moved the score: the score, less without it; or what the boost adds"),
    ] = None


class ListedItem(msgspec.Struct, frozen=True):
    """An item of a list."""

    item_id: str
    score: float
    title: str | None
    category: str | None
    price: float | None


class Suggestion(ListedItem, frozen=True):
    """An item for a shopper."""

    why: Annotated[list[Reason], Meta(description="The most moving events first")]


class ShopperItems(msgspec.Struct, frozen=True):
    """The items that a shopper is likeliest to want next."""

    user_id: str
    goal: Goal
    model: str
    items: Annotated[list[Suggestion], Meta(description="The best first")]
    as_of: Annotated[AsOf | None, Meta(description="Null for a shopper of whom no event was accepted")]
    rules: Annotated[
        Literal["current", "outdated"] | None,
        Meta(description="Whether the shop's rules are those of the file as it is now; null if there is no file"),
    ] = None
    asked_for: AskedFor = msgspec.UNSET


class Problem(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    code: str
    message: str


class UserResult(msgspec.Struct, frozen=True):
    """What there is of one of many shoppers: an answer or an error."""

    user_id: str
    answer: Annotated[
        msgspec.Raw | msgspec.UnsetType,
        Meta(description="What GET answers: a Shopper, or ShopperItems if `items` is given"),
    ] = msgspec.UNSET
    error: Annotated[Problem | msgspec.UnsetType, Meta(description="As of GET")] = msgspec.UNSET


class UserResults(msgspec.Struct, frozen=True):
    """What there is of many shoppers."""

    results: Annotated[list[UserResult], Meta(description="One for each of `user_ids`, in their order")]


class RejectedEvent(msgspec.Struct, frozen=True):
    """One of several that is no event, and was not sent."""

    position: Annotated[int, Meta(description="Its place in the array, from 0")]
    reason: Annotated[str, Meta(description="As of a dead letter")]
    error: str


class TakenEvents(msgspec.Struct, frozen=True):
    """The events that Kafka has."""

    accepted: Annotated[int, Meta(description="So many were sent, and acknowledged by Kafka")]
    rejected: Annotated[list[RejectedEvent], Meta(description="Those that were not sent, and why")]


class ForgetRequest(msgspec.Struct, frozen=True):
    """The request that a shopper be forgotten, which Kafka has: states and rows are gone within moments of it."""

    request: Annotated[str, Meta(description="Its name, as in the receipt of `cartcast forget`")]
    requested_at: Annotated[int, Meta(description="Epoch milliseconds")]
    partition: Annotated[int, Meta(description="Of the forget topic, where workers and sinks say what they have done")]
    offset: Annotated[int, Meta(description="Of the request")]


class SimilarItems(msgspec.Struct, frozen=True):
    """The items most like another: of similar words, category, brand and picture, and of the same sessions."""

    item_id: str
    model: str
    items: Annotated[list[ListedItem], Meta(description="The most alike first; those out of stock are left out")]


class Refusal(msgspec.Struct, frozen=True):
    """Every answer that is not 200 has this form."""

    error: Problem
