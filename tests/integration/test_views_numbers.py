"""The views' numbers, compared with plain Python over the same rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import numpy as np
import pytest

from service.clickhouse_settings import ClickHouseSettings
from tests.harness.databases import Databases
from tests.harness.stored_scores import HORIZONS, HOUR_MS, START_MS, STRANGE_USERS, TYPES, Row, Stored, random_rows

pytestmark = pytest.mark.integration

ADDED_UP = ("events_by_hour", "events_by_minute", "shoppers_by_hour", "score_distribution", "latest_scores")
MINUTE_MS, DAY_MS = 60_000, 24 * HOUR_MS


@pytest.fixture
def empty(database: ClickHouseSettings) -> Stored:
    return Stored(database)


@pytest.fixture(scope="module")
def stored(databases: Databases) -> Iterator[Stored]:
    """Several blocks, every one sent twice, as after a crash; tests only read."""
    with databases.lend() as settings:
        filled = Stored(settings)
        for block in range(4):
            rows = random_rows(block, 400, first=400 * block)
            filled.add(rows)
            filled.insert(rows, filled.last_token)
        yield filled


def views(stored: Stored) -> list[str]:
    """Return the views; one with parameters is read through those that give them."""
    found = stored.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' "
        "AND empty(parameterized_view_parameters)"
    )
    return [row["name"] for row in found]


def grouped(rows: list[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def epoch_ms(time: Any) -> int:
    return round(time.timestamp() * 1000)


def floor(time_ms: int, unit_ms: int) -> int:
    return time_ms // unit_ms * unit_ms


def shoppers(rows: list[Row]) -> int:
    return len({row["user_id"] for row in rows})


def test_every_view_can_be_read_whole_when_there_is_nothing(empty):
    for view in views(empty):
        rows = empty.query(f"SELECT * FROM {view}")  # noqa: S608
        assert len(rows) == (view in {"bounds", "data_span"})


def test_every_view_can_be_read_whole_when_there_is_something(stored):
    without_rows = {name for name in views(stored) if not stored.query(f"SELECT * FROM {name} LIMIT 1")}  # noqa: S608
    assert without_rows == {
        *("dead_letters_by_hour", "recent_dead_letters", "lag_now", "lag_by_minute"),
        *("impression_outcomes", "shopper_recommendations", "identities", "named_ids"),
    }


def test_events_and_shoppers_by_hour(stored):
    wanted = grouped(stored.rows, lambda row: (floor(row["event_time"], HOUR_MS), row["event_type"], row["channel"]))
    found = stored.query("SELECT * FROM events_by_hour")
    assert {
        (epoch_ms(row["hour"]), row["event_type"], row["channel"]): (row["events"], row["shoppers"]) for row in found
    } == {key: (len(rows), shoppers(rows)) for key, rows in wanted.items()}


def test_events_by_minute(stored):
    wanted = Counter((floor(row["event_time"], MINUTE_MS), row["event_type"]) for row in stored.rows)
    found = stored.query("SELECT * FROM events_by_minute")
    assert {(epoch_ms(row["minute"]), row["event_type"]): row["events"] for row in found} == wanted


def test_shoppers_over_hours_are_counted_once(stored):
    found = stored.query(
        "SELECT event_type, uniqExactArray(shopper_hashes) AS shoppers FROM shoppers_by_hour GROUP BY event_type"
    )
    wanted = grouped(stored.rows, lambda row: row["event_type"])
    assert {row["event_type"]: row["shoppers"] for row in found} == {
        kind: shoppers(rows) for kind, rows in wanted.items()
    }


def test_the_funnel_counts_shoppers_and_events_of_each_step(stored):
    wanted = grouped(stored.rows, lambda row: (floor(row["event_time"], HOUR_MS), row["channel"]))
    steps = {"view": ("viewers", "views"), "cart": ("carters", "carts"), "purchase": ("buyers", "purchases")}
    steps["checkout"] = ("checkouts", "checkout_events")
    for row in stored.query("SELECT * FROM funnel_by_hour"):
        rows = wanted[epoch_ms(row["hour"]), row["channel"]]
        for kind, (people, events) in steps.items():
            of_kind = [each for each in rows if each["event_type"] == kind]
            assert (row[people], row[events]) == (shoppers(of_kind), len(of_kind))


def check_propensities(row: dict[str, Any], rows: list[Row]) -> None:
    assert (row["events"], row["shoppers"]) == (len(rows), shoppers(rows))
    for horizon in HORIZONS:
        values = [each[f"propensity_{horizon}"] for each in rows if f"propensity_{horizon}" in each]
        assert row[f"scores_{horizon}"] == len(values)
        assert row[f"sum_propensity_{horizon}"] == pytest.approx(sum(values), abs=1e-5)
        assert row[f"mean_propensity_{horizon}"] == pytest.approx(
            np.mean(values) if values else math.nan, abs=1e-6, nan_ok=True
        )


def test_propensity_by_hour(stored):
    names = ("event_type", "channel", "model")
    wanted = grouped(stored.rows, lambda row: (floor(row["event_time"], HOUR_MS), *(row[name] for name in names)))
    found = stored.query("SELECT * FROM propensity_by_hour")
    assert len(found) == len(wanted)
    for row in found:
        check_propensities(row, wanted[epoch_ms(row["hour"]), *(row[name] for name in names)])


def test_events_and_propensity_by_category(stored):
    wanted = grouped(stored.rows, lambda row: (row["event_time"] // DAY_MS, row["category"], row["model"]))
    found = stored.query("SELECT *, toUInt32(day) AS number FROM propensity_by_category")
    assert len(found) == len(wanted)
    for row in found:
        check_propensities(row, wanted[row["number"], row["category"], row["model"]])
    wanted = grouped(stored.rows, lambda row: (row["event_time"] // DAY_MS, row["category"], row["event_type"]))
    events = stored.query("SELECT *, toUInt32(day) AS number FROM events_by_category")
    assert {
        (row["number"], row["category"], row["event_type"]): (row["events"], row["shoppers"]) for row in events
    } == {key: (len(rows), shoppers(rows)) for key, rows in wanted.items()}


def latest_of(rows: list[Row]) -> Row:
    return max(rows, key=lambda row: (row["scored_at"], row["source_offset"] % 4_194_304))


def test_latest_scores_are_those_of_the_event_that_arrived_last_whenever_it_happened(empty):
    rows = random_rows(5, 1500)
    for number, row in enumerate(rows):  # one shopper is in one partition, where offsets rise
        row |= {"source_partition": 0, "source_offset": number, "scored_at": START_MS + number // 3}
    empty.add(rows)
    wanted = grouped(rows, lambda row: row["user_id"])
    found = {row["user_id"]: row for row in empty.query("SELECT * FROM latest_scores")}
    assert found.keys() == wanted.keys()
    assert set(STRANGE_USERS) <= found.keys()
    for user, row in found.items():
        latest, priced = latest_of(wanted[user]), [each for each in wanted[user] if each["price"] is not None]
        price = latest_of(priced)["price"] if priced else None
        assert (row["event_id"], row["events"]) == (latest["event_id"], len(wanted[user]))
        assert (epoch_ms(row["event_at"]), row["price"]) == (latest["event_time"], price)
        propensity = latest.get("propensity_24h")
        if propensity is None or price is None:
            assert row["value_at_stake"] is None
        else:
            assert row["value_at_stake"] == pytest.approx(propensity * price, rel=1e-6)
        named = (
            "unknown"
            if propensity is None
            else "high"
            if propensity >= 0.3
            else "medium"
            if propensity >= 0.1
            else "low"
        )
        assert row["segment"] == named


def test_segments_add_up_the_latest_scores(stored):
    latest = stored.query("SELECT * FROM latest_scores")
    for row in stored.query("SELECT * FROM segments"):
        members = [each for each in latest if each["segment"] == row["segment"]]
        assert row["shoppers"] == len(members)
        assert row["value_at_stake"] == pytest.approx(sum(each["value_at_stake"] or 0 for each in members))


def test_top_shoppers_come_with_their_last_events_the_last_to_arrive_first(stored):
    top = stored.query("SELECT * FROM top_shoppers")
    wanted = grouped(stored.rows, lambda row: row["user_id"])
    latest = {row["user_id"]: row for row in stored.query("SELECT * FROM latest_scores")}
    assert top
    for row in top:
        assert row.items() >= latest[row["user_id"]].items()
        arrived = sorted(wanted[row["user_id"]], key=lambda each: (each["scored_at"], each["source_offset"]))
        times = [each["event_time"] for each in arrived[:-11:-1]]
        assert [epoch_ms(event["event_at"]) for event in row["last_events"]] == times
        assert {event["event_type"] for event in row["last_events"]} <= set(TYPES)


def test_top_shoppers_are_the_200_likeliest(empty):
    empty.add(random_rows(10, 3000, users=600))
    propensities = [row["propensity_24h"] for row in empty.query("SELECT * FROM latest_scores")]
    likeliest = sorted(filter(isfinite, propensities), reverse=True)
    assert len(likeliest) > 250
    top = empty.query("SELECT * FROM top_shoppers")
    assert [row["propensity_24h"] for row in top] == likeliest[:200]


def test_a_timeline_has_each_event_once_whatever_the_shopper_is_called(empty):
    empty.add(random_rows(8, 600))
    empty.client.command("INSERT INTO scores SELECT * FROM scores SETTINGS insert_deduplicate = 0")
    for user in STRANGE_USERS:
        rows = empty.query("SELECT * FROM shopper_timeline WHERE user_id = {user:String}", user=user)
        wanted = sorted(row["event_id"] for row in empty.rows if row["user_id"] == user)
        assert sorted(row["event_id"] for row in rows) == wanted


def test_a_merge_that_removes_doubled_rows_corrects_every_view(empty):
    empty.add(random_rows(9, 600))
    before = {view: str(empty.query(f"SELECT * FROM {view} ORDER BY ALL")) for view in ADDED_UP}  # noqa: S608
    empty.client.command("INSERT INTO scores SELECT * FROM scores SETTINGS insert_deduplicate = 0")
    empty.client.command("OPTIMIZE TABLE scores FINAL")
    for view, rows in before.items():
        assert str(empty.query(f"SELECT * FROM {view} ORDER BY ALL")) == rows  # noqa: S608


def test_deleting_a_shopper_takes_the_shopper_out_of_every_view(empty):
    empty.add(random_rows(12, 600))
    gone = "it's"
    empty.client.command("DELETE FROM scores WHERE user_id = {user:String}", parameters={"user": gone})
    empty.rows = [row for row in empty.rows if row["user_id"] != gone]
    assert len(empty.rows) < 600
    for view in ("events_by_hour", "events_by_minute", "propensity_by_hour", "events_by_category", "latest_scores"):
        assert empty.query(f"SELECT sum(events) AS n FROM {view}")[0]["n"] == len(empty.rows)  # noqa: S608
    for view in ("latest_scores", "shopper_timeline", "shopper_outcomes", "top_shoppers"):
        assert gone not in {row["user_id"] for row in empty.query(f"SELECT user_id FROM {view}")}  # noqa: S608
    assert empty.query("SELECT sum(rows) AS n FROM pipeline_by_minute")[0]["n"] == len(empty.rows)


def test_categories_beyond_the_thousand_liveliest_are_one(empty):
    rows = random_rows(13, 3000)
    for number, row in enumerate(rows):
        row["category"] = f"c{number % 1500 if number < 2000 else number % 500}"
    empty.add(rows)
    counts = Counter(row["category"] for row in rows)
    shown = sorted(counts, key=lambda name: (-counts[name], name))[:1000]
    found = empty.query("SELECT category, sum(events) AS n FROM events_by_category GROUP BY category")
    others = sum(count for name, count in counts.items() if name not in shown)
    assert {row["category"]: row["n"] for row in found} == {name: counts[name] for name in shown} | {"(others)": others}


def test_the_distribution_counts_scores_in_twenty_bins(stored):
    wanted = Counter(
        (floor(row["event_time"], HOUR_MS), row["model"], horizon, min(int(np.float32(value) * np.float64(20)), 19))
        for row in stored.rows
        for horizon in HORIZONS
        if (value := row.get(f"propensity_{horizon}")) is not None
    )
    found = stored.query("SELECT * FROM score_distribution")
    assert {(epoch_ms(row["hour"]), row["model"], row["horizon"], row["bin"]): row["scores"] for row in found} == wanted
    assert all(row["lower"] == row["bin"] / 20 and row["upper"] == (row["bin"] + 1) / 20 for row in found)


def test_drift_compares_each_hour_with_the_models_first_day(stored):
    histograms: dict[Any, Any] = defaultdict(lambda: np.zeros(40))
    for row in stored.rows:
        for horizon in HORIZONS:
            if (value := row.get(f"propensity_{horizon}")) is not None:
                hour = floor(row["event_time"], HOUR_MS)
                histograms[row["model"], horizon, hour][logit_bin(value)] += 1
    found = stored.query("SELECT * FROM score_drift")
    assert len(found) == len(histograms)
    for row in found:
        hours = {key[2]: counts for key, counts in histograms.items() if key[:2] == (row["model"], row["horizon"])}
        reference = sum(counts for hour, counts in hours.items() if hour < min(hours) + DAY_MS)
        counts = hours[epoch_ms(row["hour"])]
        pairs, reference_pairs = counts.reshape(20, 2).sum(1), reference.reshape(20, 2).sum(1)
        p, q = (pairs + 0.5) / (pairs.sum() + 10), (reference_pairs + 0.5) / (reference_pairs.sum() + 10)
        assert row["psi"] == pytest.approx(((p - q) * np.log(p / q)).sum())
        distance = np.abs(counts.cumsum() / counts.sum() - reference.cumsum() / reference.sum()).max()
        assert row["ks"] == pytest.approx(distance)


def logit_bin(propensity: float) -> int:
    value = float(np.float32(propensity))
    with np.errstate(divide="ignore"):
        logit = np.log(value) - np.log1p(-value)
    return int(np.clip(np.floor(logit * 4) + 28, 0, 39))


def test_drift_sees_a_shift_of_small_propensities(empty):
    """As in a shop where one event in fifty is followed by a purchase, and then one in a hundred."""
    random = np.random.default_rng(1)
    rows, logits = random_rows(11, 4000), random.normal(-4, 1, 4000)
    logits[2000:] -= np.log(2)
    start = 1_700_000_000_000 // DAY_MS * DAY_MS
    for number, (row, logit) in enumerate(zip(rows, logits, strict=True)):
        row |= {"model": "m", "propensity_1h": float(1 / (1 + np.exp(-logit)))}
        row["event_time"] = start + number // 2000 * 2 * DAY_MS
    empty.add(rows)
    before, after = empty.query("SELECT psi, ks FROM score_drift WHERE horizon = '1h' ORDER BY hour")
    assert (before["psi"], before["ks"]) == (0, 0)
    assert after["psi"] > 0.25
    both = np.sort(logits)
    first, second = (np.searchsorted(np.sort(half), both, side="right") for half in (logits[:2000], logits[2000:]))
    assert after["ks"] == pytest.approx(np.abs(first - second).max() / 2000, abs=0.04)


def test_delays_are_percentiles_of_each_minute(stored):
    wanted = grouped(stored.rows, lambda row: floor(row["scored_at"], MINUTE_MS))
    found = stored.query("SELECT * FROM pipeline_by_minute")
    assert len(found) == len(wanted)
    for row in found:
        rows = wanted[epoch_ms(row["minute"])]
        delays = [each["scored_at"] - each["source_timestamp"] for each in rows]
        assert row["rows"] == len(rows)
        low, high = np.quantile(delays, 0.5, method="lower"), np.quantile(delays, 0.5, method="higher")
        assert low * 0.99 <= row["event_to_score_p50_ms"] <= high * 1.01
        assert row["event_to_row_p99_ms"] > 0


def test_rows_of_unknown_kafka_time_have_no_delay(empty):
    empty.add([row | {"source_timestamp": 0} for row in random_rows(6, 10)])
    assert {row["event_to_score_p99_ms"] for row in empty.query("SELECT * FROM pipeline_by_minute")} == {None}


def test_progress_tells_rows_dead_letters_and_duplicates_of_a_partition_apart(empty):
    rows = [
        row | {"source_partition": 1, "source_offset": offset}
        for row, offset in zip(random_rows(7, 5), (10, 11, 12, 14, 19), strict=True)
    ]
    empty.add(rows)
    empty.client.command(
        "INSERT INTO dead_letters (source_topic, source_partition, source_offset, reason) "
        "VALUES ('events', 1, 13, 'json'), ('events', 1, 13, 'json'), ('cartcast.dead-letters', 0, 5, 'headers')"
    )
    (row,) = empty.query("SELECT * FROM source_progress")
    assert (row["first_offset"], row["last_offset"]) == (10, 19)
    assert (row["rows"], row["dead_letters"], row["duplicates"]) == (5, 1, 4)
