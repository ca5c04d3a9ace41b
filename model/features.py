"""The LSTM's inputs per event: codes for its embeddings, and numeric features of about unit scale.

Training, offline scoring and the worker all use `features_of`, so they cannot differ.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.append import Appended
from model.events import TYPE_CODES
from model.horizons import DAY_MS, SESSION_GAP_MS
from model.sequence import RECENT_DECAY_SECONDS, RECENT_GROUPS

_TIME_SCALE: Final = 1.0 / 10.0  # log1p of a week in seconds is 13.3
_COUNT_SCALE: Final = 1.0 / 3.0
_RECENT_COUNTS: Final = len(RECENT_GROUPS) * len(RECENT_DECAY_SECONDS)
_USUAL_LOG_PRICE: Final = 3.5  # 32 of whatever the currency is; a shop of others learns another level
_CART: Final = (TYPE_CODES["cart"], TYPE_CODES["checkout"])

NUMERIC_FEATURES: Final = (
    "is_first_event",
    "is_first_of_session",
    "log_gap",
    "log_session_age",
    "log_session_events",
    "log_events",
    "has_price",
    "log_price",
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
    *(f"recent_{group}_{decay}s" for group in RECENT_GROUPS for decay in RECENT_DECAY_SECONDS),
    *(f"since_{group}" for group in RECENT_GROUPS),
    *(f"never_{group}" for group in RECENT_GROUPS),
    "log_same_item",
    "same_item_carted",
    "same_item_favorited",
    "same_item_purchased",
    "log_since_same_item",
    "log_same_category",
    "log_distinct_items",
    "log_purchases",
    "purchases_a_session",
    "carts_a_session",
    "log_sessions",
    "sessions_a_day",
    "log_age",
    "purchases_a_day",
    "events_a_session",
)
"""Names of the numeric features, in the order of the columns of `Features.numeric`."""


@dataclass(frozen=True, slots=True)
class Features:
    """The model's inputs for events sorted by user, each user's in order; row i belongs to row i of the `Appended`."""

    numeric: npt.NDArray[np.float32]
    """`(events, len(NUMERIC_FEATURES))`"""
    types: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    categories: npt.NDArray[np.int64]
    """Codes `(events,)`; 0 is none for items and categories."""
    tokens: npt.NDArray[np.int64]
    """Codes of the words that were written `(events, TOKENS)`, 0 for none."""

    def __len__(self) -> int:
        return len(self.types)


def features_of(appended: Appended) -> Features:
    """Return the inputs of every accepted event."""
    # In the order of NUMERIC_FEATURES; each part is (events, its features).
    columns = [*_clock(appended), *_calendar_and_price(appended)]
    parts = [
        np.stack(columns, axis=1),  # clock, calendar, price
        _recent(appended),  # (events, groups * decays)
        *_since(appended),  # twice (events, groups)
        np.stack(_familiarity(appended), axis=1),
        np.stack(_habits(appended), axis=1),
    ]
    return Features(
        numeric=np.concatenate(parts, axis=1).astype(np.float32),
        types=appended.type_codes.astype(np.int64),
        items=appended.item_codes.astype(np.int64),
        categories=appended.category_codes.astype(np.int64),
        tokens=appended.token_codes.astype(np.int64),
    )


def _log_time(milliseconds: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    scaled: npt.NDArray[np.float64] = np.log1p(np.maximum(milliseconds, 0) / 1000.0) * _TIME_SCALE
    return scaled


def _log_count(count: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    scaled: npt.NDArray[np.float64] = np.log1p(count) * _COUNT_SCALE
    return scaled


def _clock(appended: Appended) -> list[npt.NDArray[np.float64]]:
    is_first = appended.gap_ms < 0
    return [
        is_first.astype(np.float64),
        (is_first | (appended.gap_ms > SESSION_GAP_MS)).astype(np.float64),
        _log_time(appended.gap_ms),
        _log_time(appended.session_age_ms),
        _log_count(appended.session_events),
        _log_count(np.minimum(appended.events, 1000)),  # a counter that only grows drifts; beyond 1,000 it says nothing
    ]


def _calendar_and_price(appended: Appended) -> list[npt.NDArray[np.float64]]:
    day = (appended.time_ms % DAY_MS) / DAY_MS * (2 * np.pi)
    week = (appended.time_ms % (7 * DAY_MS)) / (7 * DAY_MS) * (2 * np.pi)
    no_price = np.isnan(appended.log_prices)
    return [
        (~no_price).astype(np.float64),
        np.where(no_price, 0.0, np.clip((appended.log_prices - _USUAL_LOG_PRICE) / 1.5, -3.0, 6.0)),
        np.sin(day),
        np.cos(day),
        np.sin(week),
        np.cos(week),
    ]


def _recent(appended: Appended) -> npt.NDArray[np.float64]:
    scaled: npt.NDArray[np.float64] = np.log1p(appended.recent).reshape(len(appended), _RECENT_COUNTS) * _COUNT_SCALE
    return scaled


def _since(appended: Appended) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    never = np.isnan(appended.since_group_s)
    since = np.where(never, 0.0, np.log1p(np.maximum(np.nan_to_num(appended.since_group_s), 0.0)) * _TIME_SCALE)
    return since, never.astype(np.float64)


def _familiarity(appended: Appended) -> list[npt.NDArray[np.float64]]:
    """Return what the ring holds of each event's item and category, each `(events,)`."""
    known_item = (appended.item_codes > 0)[:, None]
    same_item = known_item & (appended.previous_items == appended.item_codes[:, None])  # (events, ring)
    known_category = (appended.category_codes > 0)[:, None]
    same_category = known_category & (appended.previous_categories == appended.category_codes[:, None])
    types = appended.previous_types
    last_same_s = np.where(same_item, appended.previous_times_s, 0).max(axis=1).astype(np.int64)
    since_same = np.where(last_same_s > 0, appended.time_ms - last_same_s * 1000, 0)
    carted = (same_item & ((types == _CART[0]) | (types == _CART[1]))).any(axis=1)
    # Distinct items in the ring: changes along the sorted codes, without 0 (none).
    ordered = np.sort(appended.previous_items, axis=1)  # (events, ring)
    distinct = ((ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] > 0)).sum(axis=1)
    return [
        _log_count(same_item.sum(axis=1)),
        carted.astype(np.float64),
        (same_item & (types == TYPE_CODES["favorite"])).any(axis=1).astype(np.float64),
        (same_item & (types == TYPE_CODES["purchase"])).any(axis=1).astype(np.float64),
        _log_time(since_same),
        _log_count(same_category.sum(axis=1)),
        _log_count(distinct),
    ]


def _habits(appended: Appended) -> list[npt.NDArray[np.float64]]:
    """Return the shopper's long-term rates, each `(events,)`; the constants added shrink rates over a short past."""
    purchases = appended.totals[:, RECENT_GROUPS.index("purchase")]
    carts = appended.totals[:, RECENT_GROUPS.index("cart")]
    sessions, days = appended.sessions, appended.age_ms / DAY_MS
    return [
        _log_count(purchases),
        purchases / (sessions + 2.0),
        carts / (sessions + 2.0),
        np.log1p(sessions) / 5.0,
        np.minimum(sessions / (days + 2.0), 5.0),
        np.log1p(days) / 4.0,
        np.minimum(purchases / (days + 7.0), 5.0),
        np.minimum(appended.events / (10.0 * sessions), 3.0),
    ]
