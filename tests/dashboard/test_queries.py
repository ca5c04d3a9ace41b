"""What the pages ask, compared with what is in the raw rows."""

import re
import time
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import dashboard.queries
from dashboard.clickhouse import Database
from dashboard.queries import items, model, overview, pipeline, shoppers
from dashboard.queries.range import Range, stored_span
from dashboard.queries.sample import Sample
from dashboard.queries.shoppers import Filters
from service.clickhouse_settings import ClickHouseSettings
from service.errors import NotMigratedError, UnavailableError
from sinks.schema.migrate import shipped_migrations
from tests.dashboard import filled_shop
from tests.dashboard.databases import NASTY_NAMES, client_of

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


@pytest.fixture
def asks(shop):
    return shop.database


@pytest.fixture
def everything(asks):
    stored = stored_span(asks)
    return Range.covering(stored.first, stored.last)


@pytest.fixture
def day(asks):
    return Range.last_hours(24, stored_span(asks).last)


def rows_of(shop, span):
    first, last = span.since.timestamp() * 1000, span.until.timestamp() * 1000
    return [row for row in shop.rows if first <= row["event_time"] < last]


def latest_of(rows):
    latest = {}
    for row in rows:
        moment = (row["scored_at"], row["source_offset"])
        if row["user_id"] not in latest or moment > latest[row["user_id"]][0]:
            latest[row["user_id"]] = (moment, row)
    return {user_id: row for user_id, (_, row) in latest.items()}


def test_the_stored_span_is_that_of_the_events(shop, asks):
    span = stored_span(asks)
    times = [row["event_time"] for row in shop.rows]
    assert span.events == len(shop.rows)
    assert (span.first, span.last) == tuple(datetime.fromtimestamp(ms / 1000, UTC) for ms in (min(times), max(times)))
    assert span.beyond == 0


@pytest.mark.parametrize("channel", ["", "mail", NASTY_NAMES[0][:60]])
def test_events_and_shoppers_are_those_of_the_range_and_channel(shop, asks, day, channel):
    rows = [row for row in rows_of(shop, day) if channel in ("", row["channel"])]
    users = defaultdict(set)
    for row in rows:
        users[row["event_type"]].add(row["user_id"])
    assert overview.measured(asks, day, channel) == {
        "Events": len(rows),
        "Shoppers": len({row["user_id"] for row in rows}),
        "Purchases": sum(row["event_type"] == "purchase" for row in rows),
        "Buyers": len(users["purchase"]),
        "Conversion": pytest.approx(len(users["view"] & users["purchase"]) / len(users["view"])),
    }


def test_steps_of_the_charts_hold_every_event_of_the_range(shop, asks, day, everything):
    for span in (day, everything):
        assert sum(row["events"] for row in overview.events_over_time(asks, span)) == len(rows_of(shop, span))
        assert sum(row["events"] for row in overview.events_by_minute(asks, span)) == len(rows_of(shop, span))


def test_propensities_are_means_over_events_not_over_hours(shop, asks, day):
    rows = rows_of(shop, day)
    means = {
        name: sum(of) / len(of)
        for name, of in (
            (kind, [row["propensity_24h"] for row in rows if row["event_type"] == kind])
            for kind in {row["event_type"] for row in rows}
        )
    }
    found = {row["name"]: row["propensity_24h"] for row in overview.propensity_by(asks, "event_type", day)}
    assert found == pytest.approx(means, abs=1e-6)
    over_time = overview.propensity_over_time(asks, day)
    assert 0 < len(over_time) <= 24


def test_categories_are_of_the_hours_of_the_range(shop, asks, everything):
    """Not of the days of UTC that it touches: the shop's are others."""
    span = replace(everything, since=everything.until - timedelta(hours=7))
    of = defaultdict(list)
    for row in rows_of(shop, span):
        of[row["category"]].append(row["propensity_24h"])
    found = overview.propensity_by_category(asks, span)
    assert found
    assert all(row["events"] == len(of[row["name"]]) for row in found)
    assert all(row["propensity_24h"] == pytest.approx(sum(of[row["name"]]) / row["events"], abs=1e-6) for row in found)


def test_an_earlier_time_is_of_the_events_before_its_end(shop, asks, everything):
    then = replace(everything, until=everything.until - timedelta(hours=30))
    latest = latest_of(rows_of(shop, then))
    counted = shoppers.segments_within(asks, Filters(then), shoppers.AT_THE_END)
    assert sum(row["shoppers"] for row in counted) == len(latest)
    expected = sum(row["propensity_24h"] for row in latest.values())
    assert sum(row["expected_buyers"] for row in counted) == pytest.approx(expected, rel=1e-5)
    reached = shoppers.above(asks, Filters(then), "24h", 0.3, shoppers.AT_THE_END)
    assert reached["shoppers"] == sum(row["propensity_24h"] >= 0.3 for row in latest.values())


def test_a_column_that_is_not_offered_is_not_grouped_by(asks, day):
    with pytest.raises(ValueError, match="user_id"):
        overview.propensity_by(asks, "user_id", day)


def test_the_ranking_is_that_of_the_latest_scores(shop, asks, everything):
    latest = latest_of(shop.rows)
    expected = sorted(latest, key=lambda user: -latest[user]["propensity_24h"])
    found = shoppers.ranked(asks, Filters(everything), "Propensity", "24h", 25)
    assert [row["user_id"] for row in found] == expected[:25]
    counted = shoppers.segments_within(asks, Filters(everything))
    assert sum(row["shoppers"] for row in counted) == len(latest)
    expected_buyers = sum(row["propensity_24h"] for row in latest.values())
    assert sum(row["expected_buyers"] for row in counted) == pytest.approx(expected_buyers, rel=1e-5)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_who_is_above_a_threshold_has_such_a_latest_score(shop, asks, everything, threshold):
    reached = [row for row in latest_of(shop.rows).values() if row["propensity_1h"] >= threshold]
    found = shoppers.above(asks, Filters(everything), "1h", threshold)
    assert (found["all_shoppers"], found["shoppers"]) == (len(latest_of(shop.rows)), len(reached))
    assert found["expected_buyers"] == pytest.approx(sum(row["propensity_1h"] for row in reached), rel=1e-5)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({"segment": "high"}, lambda row: row["propensity_24h"] >= 0.3),
        ({"channel": "mail"}, lambda row: row["channel"] == "mail"),
        ({"event_type": "cart"}, lambda row: row["event_type"] == "cart"),
        ({"category": "boots"}, lambda row: row["category"] == "boots"),
        ({"category_contains": "OO"}, lambda row: "oo" in row["category"].lower()),
        ({"search": "SHOPPER-0001"}, lambda row: "shopper-0001" in row["user_id"]),
    ],
)
def test_filters_leave_the_shoppers_that_pass(shop, asks, everything, filters, passes):
    expected = {user for user, row in latest_of(shop.rows).items() if passes(row)}
    found = shoppers.ranked(asks, Filters(everything, **filters), "Events", "24h", 1000)
    assert {row["user_id"] for row in found} == expected
    counted = {
        row["segment"]: row["shoppers"] for row in shoppers.segments_within(asks, Filters(everything, **filters))
    }
    wanted = filters.get("segment")
    assert (counted[wanted] if wanted else sum(counted.values())) == len(expected)


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_values_and_never_a_part_of_the_question(shop, asks, everything, name):
    assert shoppers.shopper(asks, name)["user_id"] == name
    assert [row["event_id"].rsplit("-", 1)[1] for row in shoppers.timeline(asks, name)] == ["0", "1"]
    for filters in ({"category": name}, {"search": name}, {"category_contains": name}):
        found = shoppers.ranked(asks, Filters(everything, **filters), "Propensity", "24h", 10)
        assert [row["user_id"] for row in found] == [name]
    assert shoppers.matching_categories(asks, name)[0] == name
    assert stored_span(asks).events == len(shop.rows)


def test_the_rows_are_all_there_after_the_injections(shop):
    assert shop.client.command("SELECT count() FROM scores WHERE event_type != 'impression'") == len(shop.rows)


def test_a_timeline_is_the_shoppers_last_events_in_the_order_of_arrival(shop, asks):
    user = Counter(row["user_id"] for row in shop.rows).most_common(1)[0][0]
    own = sorted(
        (row["scored_at"], row["source_offset"], row["event_id"]) for row in shop.rows if row["user_id"] == user
    )
    assert [row["event_id"] for row in shoppers.timeline(asks, user, 20)] == [event_id for *_, event_id in own[-20:]]


def test_what_was_recommended_is_known_by_its_event(shop, asks):
    user = Counter(row["user_id"] for row in shop.rows if row["event_type"] == "cart").most_common(1)[0][0]
    own = {row["event_id"] for row in shop.rows if row["user_id"] == user and row["event_type"] == "cart"}
    found = shoppers.recommended(asks, user, limit=len(own))  # each once, or some were missing
    assert found == {event_id: ["two", "k"] for event_id in own}  # an item without a title: its id


def test_calibration_bins_hold_every_score_whose_horizon_has_passed(asks, everything):
    (evaluated,) = (row for row in model.evaluation(asks, "1h") if row["model"] == "oracle-1")
    bins = model.calibration(asks, "oracle-1", "1h", everything)
    assert sum(row["scores"] for row in bins) == evaluated["scores"]
    assert sum(row["purchases"] for row in bins) == evaluated["purchases"]


def test_true_propensities_are_found_to_be_right_and_exaggerated_ones_are_not(asks):
    """The simulator's own propensities are the yardstick (docs/simulator.md)."""
    by_model = {row["model"]: row for row in model.evaluation(asks, "1h")}
    assert by_model["oracle-1"]["mean_propensity"] == pytest.approx(by_model["oracle-1"]["base_rate"], abs=0.02)
    assert by_model["oracle-1"]["ece"] < by_model["steep-2"]["ece"]


def test_curves_rise_from_few_scores_to_all(asks):
    points = model.operating_points(asks, "oracle-1", "24h")
    shares = [row["share"] for row in points]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1, abs=0.02)
    assert points[0]["recall"] == pytest.approx(1, abs=0.02)


def test_distribution_and_drift_count_the_scores_of_the_range(shop, asks, everything):
    counted = Counter(row["model"] for row in shop.rows)
    bins = model.distribution(asks, "24h", everything)
    assert Counter({name: sum(row["scores"] for row in bins if row["model"] == name) for name in counted}) == counted
    drift = model.drift(asks, "oracle-1", "24h", everything)
    assert sum(row["scores"] for row in drift) == counted["oracle-1"]


def test_the_pipeline_counts_rows_letters_and_duplicates(shop, asks):
    span = Range.covering(pipeline.active_span(asks).first, pipeline.active_span(asks).last)
    rows = shop.client.command("SELECT count() FROM scores")  # impressions among them
    assert sum(row["stored"] for row in pipeline.by_minute(asks, span)) == rows > len(shop.rows)
    assert sum(row["dead_letters"] for row in pipeline.dead_letters_over_time(asks, span)) == 60
    assert {row["reason"]: row["dead_letters"] for row in pipeline.dead_letters_by_reason(asks, span)} == {
        "json": 24, "ts": 24, "key": 12,
    }  # fmt: skip
    assert pipeline.progress_totals(asks)["stored"] == rows
    assert pipeline.dead_letters(asks) == pipeline.dead_letters(asks, span) == 60
    assert pipeline.stored(asks, span) == rows
    assert len(pipeline.recent_dead_letters(asks)) == 60
    assert max(row["lag"] for row in pipeline.lag_over_time(asks, span)) == 1600


def viewers_of(rows) -> dict[str, set[str]]:
    viewers = defaultdict(set)
    for row in rows:
        if row["event_type"] == "view" and row["item_id"]:
            viewers[row["item_id"]].add(row["user_id"])
    return viewers


def test_items_are_ranked_by_their_distinct_viewers(shop, asks, day):
    found = items.wanted(asks, day, "24h", Sample(1.0), 1000)
    now, before = (viewers_of(rows_of(shop, span)) for span in (day, day.before()))
    carted = {row["item_id"] for row in rows_of(shop, day.before()) if row["event_type"] == "cart"}
    all_before = (len(before), len(carted & set(before)) / len(before))
    assert {row["item_id"]: row["viewers"] for row in found} == {item: len(users) for item, users in now.items()}
    assert [row["viewers"] for row in found] == sorted((row["viewers"] for row in found), reverse=True)
    assert {row["item_id"]: row["viewers_before"] for row in found} == {item: len(before[item]) for item in now}
    bought = Counter(row["item_id"] for row in rows_of(shop, day) if row["event_type"] == "purchase")
    assert {row["item_id"] for row in found if row["buyers"]} == set(bought) & set(now)
    assert found[0]["items"] == len(now)
    assert (found[0]["items_before"], found[0]["carted_before"]) == all_before


def test_an_item_rises_if_its_viewers_do_more_than_those_of_all_items(database):
    base = next(iter(filled_shop.plain_scores(1)))
    hour_ms, rows = 3_600_000, []
    for name, before, now in (("more", 10, 100), ("as-all", 50, 100), ("few", 0, 2), ("less", 90, 50)):
        for number in range(before + now):
            rows.append({
                **base, "item_id": name, "event_type": "view", "user_id": f"{name}-{number}",
                "event_id": f"{name}-{number}", "source_offset": len(rows),
                "event_time": base["event_time"] + (number >= before) * hour_ms,
            })  # fmt: skip
    filled_shop.insert(client_of(database), "scores", rows)
    asks = Database(database)
    span = Range.last_hours(1, stored_span(asks).last)
    found = {row["item_id"]: row for row in items.wanted(asks, span, "24h", items.sample(asks, span), 10)}
    assert [name for name, row in found.items() if row["rise_low"] > 1] == ["more"]
    assert found["more"]["rise"] == pytest.approx(100.5 / 10.5 / (252.5 / 150.5))
    assert found["few"]["rise"] > 1  # but by chance


def test_a_sample_holds_all_that_its_shoppers_did(shop, asks, day):
    found = items.wanted(asks, day, "24h", Sample(0.3), 1000)
    hashes = dict(shop.client.query("SELECT DISTINCT user_id, cityHash64(user_id) FROM scores").result_rows)
    among = [row for row in rows_of(shop, day) if hashes[row["user_id"]] <= Sample(0.3).last_hash]
    assert {row["item_id"]: row["viewers"] for row in found} == {
        item: len(users) for item, users in viewers_of(among).items()
    }


def test_cold_items_have_few_events_ever(shop, asks, day):
    found = items.cold(asks, day, Sample(1.0), 1000)
    ever = Counter(row["item_id"] for row in shop.rows if row["item_id"])
    now = {row["item_id"] for row in rows_of(shop, day)}
    assert found
    assert all(row["events"] == ever[row["item_id"]] < items.FEW_EVENTS for row in found)
    assert {row["item_id"] for row in found} <= now


def test_every_question_can_be_asked_of_an_empty_database(empty):
    asks = Database(empty)
    span = Range.last_hours(24, datetime(2026, 1, 5, tzinfo=UTC))
    assert stored_span(asks) is None
    assert pipeline.active_span(asks) is None
    assert (found := overview.measured(asks, span))["Events"] == found["Shoppers"] == 0
    assert found["Conversion"] is None
    assert overview.propensity_by_category(asks, span) == []
    assert shoppers.segments_within(asks, Filters(span)) == []
    assert shoppers.shopper(asks, "nobody") is None
    assert items.wanted(asks, span, "24h", items.sample(asks, span), 5) == []
    assert items.cold(asks, span, items.sample(asks, span), 5) == []
    assert model.shown_by_list(asks) == model.shown_by_position(asks) == []
    assert model.models(asks) == []
    assert model.evaluated_until(asks, "none", "24h") is None
    assert pipeline.latest_minutes(asks) == []
    assert pipeline.lag_before(asks) is None
    assert pipeline.lag_now(asks) == []
    assert pipeline.dead_letters(asks) == 0


def test_the_lag_of_the_minute_before_is_that_of_all_groups(asks):
    of_sink = 10 + 58 % 7
    assert pipeline.lag_before(asks) == filled_shop.PARTITIONS * of_sink


def test_the_latest_minute_is_whole(database):
    client, asks = client_of(database), Database(database)
    now_ms = time.time_ns() // 1_000_000
    stored = []
    for minutes_ago, rows in ((60, 1), (2, 4), (1, 2), (0, 3)):
        scored = [
            {**row, "event_id": f"{minutes_ago}-{row['event_id']}", "scored_at": now_ms - 60_000 * minutes_ago}
            for row in filled_shop.plain_scores(rows)
        ]
        filled_shop.insert(client, "scores", scored)
        stored.append([row["stored"] for row in pipeline.latest_minutes(asks)])
    assert stored == [[0], [4], [4], [2, 4]]


def test_a_step_of_a_week_is_a_week_and_begins_on_monday(database):
    monday, day_ms = datetime(2026, 1, 5, tzinfo=UTC), 86_400_000
    scores = [row | {"event_time": row["event_time"] - row["event_time"] % day_ms + number * day_ms}
              for number, row in enumerate(filled_shop.plain_scores(250))]  # fmt: skip
    filled_shop.insert(client_of(database), "scores", scores)
    span = Range(monday, monday + timedelta(days=250))
    for over_time in (overview.events_over_time, overview.propensity_over_time):
        times = sorted({row["time"] for row in over_time(Database(database), span)})
        assert times[0] == monday
        assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(days=7)}
        assert len(times) == 36


def test_days_begin_at_the_shops_midnight(database):
    """Kathmandu's clocks are 5:45 ahead, and New York's were put forward on 8 March 2026."""
    first = next(iter(filled_shop.plain_scores(1)))
    rows = [first | {"event_time": 1_772_841_600_000 + hour * HOUR_MS, "event_id": f"{hour}", "source_offset": hour}
            for hour in range(24 * 30)]  # fmt: skip
    filled_shop.insert(client_of(database), "scores", rows)
    since = datetime(2026, 3, 7, tzinfo=UTC)
    for zone, days in (("America/New_York", [5, 24, 23, 24]), ("Asia/Kathmandu", [19, 24, 24, 24])):
        span = Range(since, since + timedelta(days=30), zone)
        steps = overview.events_over_time(Database(database), replace(span, until=since + timedelta(days=30)))
        local = [row["time"].astimezone(ZoneInfo(zone)) for row in steps]
        assert span.step == timedelta(hours=6)
        assert {(time.hour, time.minute) for time in local} == {(0, 0), (6, 0), (12, 0), (18, 0)}
        by_day = Counter[date]()
        for time_, row in zip(local, steps, strict=True):
            by_day[time_.date()] += row["events"]
        assert list(by_day.values())[:4] == days


def test_questions_read_views_and_never_a_table():
    """Dashboards read views, so that Streamlit and Grafana show the same numbers."""
    views = set(re.findall(r"CREATE OR REPLACE VIEW (\w+)", "\n".join(step.sql for step in shipped_migrations())))
    sources = [path.read_text() for path in Path(dashboard.queries.__file__).parent.glob("*.py")]
    read = set(re.findall(r"\b(?:FROM|JOIN) (\w+)", "\n".join(sources)))
    assert read
    assert read <= views


def test_the_page_of_the_documentation_names_the_views_that_are_read():
    sources = [path.read_text() for path in Path(dashboard.queries.__file__).parent.glob("*.py")]
    read = set(re.findall(r"\b(?:FROM|JOIN) (\w+)", "\n".join(sources)))
    page = Path("docs/dashboard.md").read_text()
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_a_database_without_the_views_is_told_from_a_server_that_is_away(clickhouse):
    with pytest.raises(NotMigratedError):
        Database(ClickHouseSettings(url=clickhouse, database="nowhere")).rows("SELECT 1 FROM events_by_minute")
    with pytest.raises(UnavailableError, match="does not answer"):
        Database(ClickHouseSettings(url="http://127.0.0.1:9", database="cartcast")).rows("SELECT 1")


def test_a_client_goes_on_after_a_failure(shop):
    asks = shop.database
    with pytest.raises(NotMigratedError):
        asks.rows("SELECT 1 FROM nothing_of_that_name")
    assert asks.rows("SELECT {text:String} AS text", {"text": "a'b"}) == [{"text": "a'b"}]
