"""How the look-up API's messages are made of a sequence state and an explanation."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model.events import EVENT_TYPES
from model.explain import Explanation
from model.items.catalogue import IN_CATALOGUE, REMOVED, Catalogue
from model.propensities import published
from model.sequence import hexadecimal, stored_events
from streams.lookups.answers import AsOf, Attribution, Item, Shopper, ShopperExplanation, StoredEvent

Numbers = npt.NDArray[np.floating[Any]]
"""One a horizon `(horizons,)`."""


def shopper_answer(  # noqa: PLR0913 - an answer says all of this
    user_id: str,
    sequence: npt.NDArray[np.void],
    propensities: Numbers,
    horizons: Sequence[str],
    *,
    model: str,
    rebuilt: bool,
    as_of: AsOf,
    joined_to: str | None = None,
) -> Shopper:
    """Make the answer of one SEQUENCE record `(1,)`."""
    return Shopper(
        user_id=user_id,
        propensities=_by_horizon(propensities, horizons),
        model=model,
        rebuilt=rebuilt,
        last_event_time=int(sequence["last_time_ms"][0]),
        events=int(sequence["events"][0]),
        last_events=_stored_events(stored_events(sequence)[1]),
        as_of=as_of,
        joined_to=msgspec.UNSET if joined_to is None else joined_to,
    )


def explanation_answer(  # noqa: PLR0913 - an answer says all of this
    user_id: str,
    explanation: Explanation,
    propensities: Numbers | None,
    horizons: Sequence[str],
    *,
    model: str,
    as_of: AsOf,
) -> ShopperExplanation:
    """Make the answer of an explanation and of the published propensities, None if they are not known."""
    events = _stored_events(explanation.events)
    return ShopperExplanation(
        user_id=user_id,
        model=model,
        event=events[-1],
        propensity=None if propensities is None else _by_horizon(propensities, horizons),
        from_ring=_by_horizon(explanation.from_ring, horizons),
        earlier_events=explanation.earlier,
        events=[
            Attribution(
                event_time=event.event_time,
                type=event.type,
                event_hash=event.event_hash,
                position=len(events) - 1 - place,
                contribution=_changes(explanation.contributions[place], horizons, 6),
                log_odds=_changes(explanation.log_odds[place], horizons, 4),
            )
            for place, event in enumerate(events)
        ],
        as_of=as_of,
    )


def item_answers(catalogue: Catalogue, item_ids: Collection[str]) -> list[Item]:
    """Make the answers about some distinct items, without those that are not known, or were removed."""
    rows = catalogue.rows_of(list(item_ids))
    return [
        Item(
            item_id=known.item_id,
            title=known.title,
            category=known.category,
            brand=known.brand,
            price=known.price,
            in_stock=known.in_stock,
            known_from="catalogue" if known.state == IN_CATALOGUE else "events",
        )
        for known in catalogue.known_items(rows[rows >= 0].tolist())
        if known.state != REMOVED
    ]


def item_answer(catalogue: Catalogue, item_id: bytes) -> Item | None:
    """Make the answer about an item; None if it is not known, or was removed."""
    return next(iter(item_answers(catalogue, [item_id.decode()])), None)


def _stored_events(events: npt.NDArray[np.void]) -> list[StoredEvent]:
    columns = zip(events["time_s"].tolist(), events["type"].tolist(), events["id_hash"].tolist(), strict=True)
    return [StoredEvent(time_s * 1000, EVENT_TYPES[code], hexadecimal(id_hash)) for time_s, code, id_hash in columns]


def _by_horizon(propensities: Numbers, horizons: Sequence[str]) -> dict[str, float]:
    return dict(zip(horizons, published(propensities).tolist(), strict=True))


def _changes(numbers: Numbers, horizons: Sequence[str], decimals: int) -> dict[str, float | None]:
    rounded: list[float] = numbers.round(decimals).tolist()
    return {horizon: None if math.isnan(number) else number for horizon, number in zip(horizons, rounded, strict=True)}
