"""What `migrate` makes of the settings on the real engine: the sample, segments, drift, retention."""

import time
from datetime import datetime

import pytest
from pydantic import ValidationError

from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate
from tests.harness.stored_scores import HOUR_MS, START_MS, Stored, random_rows
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def stored(database: ClickHouseSettings) -> Stored:
    return Stored(database)


def with_settings(stored: Stored, **changes: object) -> list[str]:
    settings = stored.settings.model_dump() | {"password": stored.settings.password} | changes
    return migrate(ClickHouseSettings(**settings))


def test_the_sample_of_the_evaluation_is_as_large_as_the_settings_say_and_made_of_whole_histories(stored):
    stored.add(random_rows(5, 8000, users=2000))
    assert with_settings(stored, evaluated_scores=2000) == ["setting evaluated_scores = 2000"]
    last = stored.query("SELECT sampled_hash FROM bounds")[0]["sampled_hash"]
    assert last == pytest.approx(2**64 / 4)
    sampled = stored.query("SELECT user_id FROM scores WHERE cityHash64(user_id) <= {last:UInt64}", last=last)
    users = {row["user_id"] for row in sampled}
    whole = stored.query(
        "SELECT horizon, count() AS scores FROM shopper_outcomes "
        "WHERE user_id IN {users:Array(String)} GROUP BY horizon",
        users=sorted(users),
    )
    found = stored.query("SELECT horizon, sum(scores) AS scores FROM outcome_bins GROUP BY horizon")
    assert {row["horizon"]: row["scores"] for row in found} == {row["horizon"]: row["scores"] for row in whole}
    assert 500 < sum(row["user_id"] in users for row in stored.rows) < 4000


def test_bounds_of_the_segments_move_with_the_settings(stored):
    stored.add(random_rows(1, 400))
    assert with_settings(stored, segment_high=0.5, segment_medium=0.2) == [
        "setting segment_high = 0.5",
        "setting segment_medium = 0.2",
    ]
    for row in stored.query("SELECT propensity_24h AS p, segment FROM latest_scores WHERE isFinite(propensity_24h)"):
        assert row["segment"] == ("high" if row["p"] >= 0.5 else "medium" if row["p"] >= 0.2 else "low")
    assert with_settings(stored, segment_high=0.5, segment_medium=0.2) == []
    assert len(with_settings(stored)) == 2


def test_drift_is_measured_against_the_period_of_the_settings(stored):
    stored.add(random_rows(2, 1000))
    since = datetime.fromtimestamp(START_MS // HOUR_MS * 3600 + 10 * 3600, tz=None).astimezone()
    with_settings(stored, drift_reference_from=since)
    row = stored.query("SELECT DISTINCT reference_from, reference_to FROM score_drift")[0]
    assert row["reference_from"].timestamp() == since.timestamp()
    assert (row["reference_to"] - row["reference_from"]).total_seconds() == 24 * 3600


def test_old_scores_and_all_that_was_made_of_them_go_when_retention_says_so(stored):
    now_ms = int(time.time() * 1000)
    old, new = random_rows(3, 600), random_rows(4, 600, first=600)
    for row in new:
        row["scored_at"] = now_ms
        row["event_time"] += 200 * HOUR_MS
    stored.add(old + new)
    assert with_settings(stored, retention_days=30) == [
        "retention of scores: 30 days",
        "retention of dead_letters: 30 days",
        "retention of recommendations: 30 days",
    ]
    eventually(lambda: stored.query("SELECT count() AS rows FROM scores")[0]["rows"] == 600, "what is left")
    stored.rows = new
    for view in ("events_by_hour", "propensity_by_hour", "latest_scores", "events_by_minute"):
        assert stored.query(f"SELECT sum(events) AS events FROM {view}")[0]["events"] == 600  # noqa: S608
    assert stored.query("SELECT sum(events) AS events FROM events_by_category")[0]["events"] == 600
    hours = {row["event_time"] // HOUR_MS for row in new}
    found = stored.query("SELECT DISTINCT hour FROM online_evaluation")
    assert {int(row["hour"].timestamp()) // 3600 for row in found} <= hours
    assert found


def test_retention_can_be_changed_and_lifted(stored):
    assert len(with_settings(stored, retention_days=30)) == 3
    assert with_settings(stored, retention_days=30) == []
    assert with_settings(stored, retention_days=7)[0] == "retention of scores: 7 days"
    assert with_settings(stored, retention_days=0)[0] == "retention of scores: for ever"
    assert with_settings(stored, retention_days=0) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"segment_high": 0.1, "segment_medium": 0.2},
        {"drift_reference_to": "2024-01-01"},
        {"drift_reference_from": "2024-01-02", "drift_reference_to": "2024-01-01T00:00:00Z"},
        {"retention_days": -1},
    ],
)
def test_settings_that_contradict_themselves_are_refused(wrong):
    with pytest.raises(ValidationError):
        ClickHouseSettings(**wrong)
