"""The ordered funnel, cohorts and the drift of inputs, compared with plain Python over the same rows."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta

import pytest

from dashboard.clickhouse import Database
from dashboard.queries import conversion, inputs
from dashboard.queries.conversion import Funnel
from dashboard.queries.overview import FUNNEL
from dashboard.queries.range import Range, stored_span
from dashboard.queries.sample import Sample
from tests.dashboard import filled_shop
from tests.dashboard.databases import client_of

pytestmark = pytest.mark.integration

ALL = Sample(1.0)
HOUR_MS, WEEK_MS = 3_600_000, 7 * 86_400_000


def level(events, since_ms, until_ms, window_ms, steps):
    """How far one shopper came, whose events are (time, type) in order: every view is tried."""
    best = 0
    for entered, kind in events:
        if kind == "view" and since_ms <= entered < until_ms:
            at, reached = entered, 1
            for step in steps[1:]:
                later = [t for t, name in events if name == step and at <= t <= entered + window_ms]
                if not later:
                    break
                at, reached = min(later), reached + 1
            best = max(best, reached)
    return best


@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("steps", [FUNNEL, ("view", "purchase")], ids=["all", "two"])
def test_a_funnel_counts_steps_in_order_within_the_window(shop, hours, steps):
    stored = stored_span(shop.database)
    span = Range.last_hours(48, stored.last - timedelta(hours=30))
    since_ms, until_ms = span.since.timestamp() * 1000, span.until.timestamp() * 1000
    of = defaultdict(list)
    for row in sorted(shop.rows, key=lambda row: row["event_time"]):
        of[row["user_id"]].append((row["event_time"], row["event_type"]))
    levels = [level(events, since_ms, until_ms, hours * HOUR_MS, steps) for events in of.values()]
    wanted = [sum(reached >= place for reached in levels) for place in range(1, len(steps) + 1)]
    (found,) = conversion.funnel(shop.database, span, Funnel(steps, timedelta(hours=hours)), ALL)
    assert found["reached"] == wanted
    assert wanted[0] > wanted[-1] > 0
    seen_until = span.since + timedelta(hours=24)
    seen = [[one for one in events if one[0] < seen_until.timestamp() * 1000] for events in of.values()]
    levels = [level(events, since_ms, until_ms, hours * HOUR_MS, steps) for events in seen if events]
    (found,) = conversion.funnel(shop.database, span, Funnel(steps, timedelta(hours=hours)), ALL, seen_until)
    assert found["reached"] == [sum(reached >= place for reached in levels) for place in range(1, len(steps) + 1)]


@pytest.mark.parametrize("by", ["Channel", "Category", "Propensity"])
def test_groups_of_a_funnel_are_those_of_the_first_view(shop, by):
    stored = stored_span(shop.database)
    span = Range.last_hours(6, stored.last)
    first = {}
    for row in sorted(shop.rows, key=lambda row: row["event_time"]):
        if row["event_type"] == "view" and row["event_time"] >= span.since.timestamp() * 1000:
            first.setdefault(row["user_id"], row)
    named = {
        "Channel": lambda row: row["channel"],
        "Category": lambda row: row["category"],
        "Propensity": lambda row: ("low", "medium", "high")[
            (row["propensity_24h"] >= 0.1) + (row["propensity_24h"] >= 0.3)
        ],
    }[by]
    wanted = Counter(map(named, first.values()))
    found = {
        row["name"]: row["reached"][0]
        for row in conversion.funnel(shop.database, span, Funnel(FUNNEL, timedelta(hours=1), by), ALL)
    }
    assert found
    assert all(wanted[name] == count for name, count in found.items())
    assert sorted(found.values(), reverse=True) == [count for _, count in wanted.most_common(len(found))]


def test_cohorts_follow_shoppers_from_their_first_week(database):
    """Sunday evening in UTC is Monday in Tokyo."""
    base = next(iter(filled_shop.plain_scores(1)))
    sunday_ms = int(datetime(2026, 1, 4, 20, tzinfo=UTC).timestamp() * 1000)
    visits = [("a", 0, "view"), ("a", 1, "view"), ("a", 3, "purchase"), ("b", 0, "view"), ("c", 1, "view")]
    rows = [
        {**base, "user_id": user, "event_type": kind, "event_time": sunday_ms + week * WEEK_MS, "event_id": str(number),
         "source_offset": number}
        for number, (user, week, kind) in enumerate(visits)
    ]  # fmt: skip
    filled_shop.insert(client_of(database), "scores", rows)
    for zone, monday in (("UTC", date(2025, 12, 29)), ("Asia/Tokyo", date(2026, 1, 5))):
        last = stored_span(Database(database)).last
        found = conversion.cohorts(Database(database), Range(last, last, zone), ALL)
        told = {(row["first_week"], row["later"]): (row["shoppers"], row["buyers"]) for row in found}
        week = timedelta(days=7)
        assert told == {(monday, 0): (2, 0), (monday, 1): (1, 0), (monday + week, 0): (1, 0)}
        hour = timedelta(hours=1)
        found = conversion.cohorts(Database(database), Range(last, last + hour, zone), ALL)
        assert {(row["first_week"], row["later"]): row["buyers"] for row in found}[monday, 3] == 1


def test_a_field_drifts_if_its_values_do(database):
    rows = [
        {**row, "event_type": "view", "price": 10.0, "channel": ("mail", "web")[number % 2 if number < 250 else 0]}
        for number, row in enumerate(filled_shop.plain_scores(500))
    ]
    filled_shop.insert(client_of(database), "scores", rows)
    zero = datetime.fromtimestamp(rows[0]["event_time"] / 1000, UTC)
    half = zero + timedelta(minutes=250)
    reference, span = Range(zero, half), Range(half, half + timedelta(minutes=250))
    found = {each.field: each for each in inputs.drift(Database(database), span, reference, ALL)}
    moved = found["channel"]
    assert (moved.value, moved.share, moved.reference_share, moved.events) == ("web", 0.0, 0.5, 250)
    assert moved.psi > 1
    assert found["price"].psi == found["category"].psi == found["event type"].psi == 0
    same = inputs.drift(Database(database), reference, reference, ALL)
    assert {each.psi for each in same} == {0.0}


def test_nothing_is_said_of_a_time_without_events(empty, shop):
    span = Range.last_hours(24, datetime(2031, 1, 5, tzinfo=UTC))
    for asks in (Database(empty), shop.database):
        assert inputs.drift(asks, span, span, ALL) == []
        assert conversion.funnel(asks, span, Funnel(FUNNEL, timedelta(hours=1), "Channel"), ALL) == []
    assert conversion.cohorts(Database(empty), span, ALL) == []
