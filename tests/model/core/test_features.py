import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.append import append_events
from model.core.features import NUMERIC_FEATURES
from model.events import EVENT_TYPES, Event
from model.sequence import new_sequences
from tests.model.shop import columns, shoppers_events

MONDAY_MIDNIGHT_MS = 1_700_438_400_000  # 2023-11-20T00:00:00Z
SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000


def features(events: list[Event], users: int = 1):
    """Return the features by event and name."""
    appended = append_events(new_sequences(users), *columns(events))
    computed = appended.features
    rows = np.argsort(appended.rows)
    named = [dict(zip(NUMERIC_FEATURES, computed.numeric[row].tolist(), strict=True)) for row in rows]
    return named, computed


def event(number: int, type_: str, after_ms: int, **fields) -> Event:
    return Event(f"e{number}", "0", type_, MONDAY_MIDNIGHT_MS + after_ms, **fields)


def log_time(seconds: float) -> float:
    return math.log1p(seconds) / 10


def log_count(count: float) -> float:
    return math.log1p(count) / 3


STORY = [
    event(0, "view", 0, item_id="shoe", category="feet", price=math.e - 1),
    event(1, "favorite", 60 * SECOND, item_id="shoe"),
    event(2, "view", 90 * SECOND, item_id="hat", category="head", price=0.0),
    event(3, "checkout", 120 * SECOND, item_id="shoe", category="feet"),
    event(4, "purchase", 6 * HOUR, item_id="shoe", category="feet"),
    event(5, "search", 6 * HOUR + SECOND),
    event(6, "view", 12 * HOUR, item_id="shoe", category="feet"),
    event(7, "view", 24 * HOUR, item_id="shoe", category="feet"),
]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, {"is_first_event": 1, "is_first_of_session": 1, "log_gap": 0}),
        (0, {"log_session_age": 0, "log_session_events": log_count(1)}),
        (0, {"has_price": 1, "log_price": -2.5 / 1.5, "log_same_item": 0}),
        (0, {"log_distinct_items": 0, "since_view": 0, "since_same_item": 1.5, "since_same_category": 1.5}),
        (0, {"recent_view_900s": log_count(1), "recent_cart_900s": 0, "hour_sin": 0, "hour_cos": 1}),
        (1, {"is_first_event": 0, "is_first_of_session": 0}),
        (1, {"log_gap": log_time(60), "log_session_age": log_time(60)}),
        (1, {"log_session_events": log_count(2), "has_price": 0, "log_price": 0}),
        (1, {"log_same_item": log_count(1), "log_since_same_item": log_time(60), "same_item_favorited": 0}),
        (1, {"since_view": log_time(60), "log_same_category": 0, "since_same_item": log_time(60)}),
        (2, {"has_price": 1, "log_price": -3.5 / 1.5, "log_same_item": 0}),
        (2, {"log_distinct_items": log_count(1), "since_view": log_time(90)}),
        (2, {"recent_view_900s": log_count(1 + math.exp(-90 / 900))}),
        (2, {"recent_favorite_900s": log_count(math.exp(-30 / 900))}),
        (3, {"same_item_favorited": 1, "same_item_carted": 0}),
        (3, {"log_same_item": log_count(2), "log_distinct_items": log_count(2)}),
        (3, {"recent_cart_14400s": log_count(1), "log_since_same_item": log_time(60)}),
        (3, {"log_same_category": log_count(1), "since_same_category": log_time(120), "since_category_cart": 1.5}),
        (3, {"category_session_events": log_count(1), "category_session_share": 1 / 3, "category_carts": 0}),
        (4, {"is_first_of_session": 1, "log_session_events": log_count(1)}),
        (4, {"same_item_carted": 1, "item_session_events": 0, "category_session_share": 0, "item_of_earlier_day": 0}),
        (4, {"since_cart": log_time(6 * 3600 - 120), "hour_sin": 1, "hour_cos": 0, "same_item_purchased": 0}),
        (5, {"log_same_item": 0, "same_item_carted": 0, "log_same_category": 0}),
        (4, {"since_category_cart": log_time(6 * 3600 - 120), "category_carts": log_count(1), "category_purchases": 0}),
        (5, {"since_search": 0, "since_purchase": log_time(1), "since_same_item": 1.5}),
        (6, {"same_item_purchased": 1, "same_item_carted": 1, "hour_sin": 0, "hour_cos": -1}),
        (6, {"item_purchases": log_count(1), "category_purchases": log_count(1), "category_favorites": 0}),
        (6, {"item_of_earlier_day": 0}),
        (7, {"item_of_earlier_day": 1, "item_session_events": 0, "since_same_item": log_time(12 * 3600)}),
    ],
)  # fmt: skip
def test_a_feature_is_what_its_name_says(row, expected):
    named, _ = features(STORY)
    assert {name: named[row][name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_every_column_has_a_name_and_every_name_a_column():
    _, computed = features(STORY)
    assert computed.numeric.shape == (len(STORY), len(NUMERIC_FEATURES))
    assert len(set(NUMERIC_FEATURES)) == len(NUMERIC_FEATURES)
    assert computed.numeric.dtype == np.float32


def test_codes_of_types_and_categories_come_with_the_numbers():
    _, computed = features(STORY)
    assert computed.types.tolist() == [EVENT_TYPES.index(one.type) for one in STORY]
    assert (computed.categories[[0, 3, 4, 6]] == computed.categories[0]).all()
    assert computed.categories[5] == computed.categories[1] == 0


extreme_times = st.sampled_from([946_684_800_000, 4_102_444_799_999, MONDAY_MIDNIGHT_MS, MONDAY_MIDNIGHT_MS + 1])
extreme_events = st.builds(
    lambda number, user, type_, ts, item, price: Event(f"e{number}", str(user), type_, ts, item, item, price),
    st.integers(0, 10**9), st.integers(0, 2), st.sampled_from(EVENT_TYPES), extreme_times,
    st.sampled_from([None, "", "i"]), st.sampled_from([None, 0.0, -0.0, 5e-324, 1e308, 1.7976931348623157e308]),
)  # fmt: skip


@given(st.lists(extreme_events, max_size=40))
def test_features_of_extreme_events_are_finite_and_of_no_enormous_size(events):
    _, computed = features(events, users=3)
    assert np.isfinite(computed.numeric).all()
    assert np.abs(computed.numeric).max(initial=0) < 100


@given(st.integers(0, 80), st.integers(1, 40), st.integers(0, 3))
def test_no_feature_looks_at_later_events(count, more, seed):
    events = shoppers_events(count, seed)
    other = [
        Event(f"x{number}", str(number % 6), "purchase", MONDAY_MIDNIGHT_MS + number * HOUR, "i1", "c1", 7.0)
        for number in range(more)
    ]
    alone, _ = features(events, users=6)
    for continued in (shoppers_events(count + more, seed), events + other):
        followed, _ = features(continued, users=6)
        for before, after in zip(alone, followed, strict=False):
            assert after == pytest.approx(before, abs=1e-6)
