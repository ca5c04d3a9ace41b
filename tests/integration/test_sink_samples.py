"""What the sink's metrics say of scores and disks is what the views and the rows say."""

import time

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.observe.samples import MIN_DRIFT_SCORES, Sampler
from sinks.schema.migrate import migrate
from tests.harness.ports import new_port
from tests.harness.stored_scores import HORIZONS, HOUR_MS, START_MS, Stored, random_rows

pytestmark = pytest.mark.integration
HOURS = 47


@pytest.fixture
def stored(clickhouse: str, topic_prefix: str) -> Stored:
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    migrate(settings)
    return Stored(settings)


def recent_rows(count: int) -> list[dict]:
    """Rows of the last 47 hours."""
    shift = time.time_ns() // 1_000_000 - HOURS * HOUR_MS - START_MS
    late = {"event_time", "source_timestamp", "scored_at"}
    rows = random_rows(3, count, hours=HOURS)
    return [{name: value + shift if name in late else value for name, value in row.items()} for row in rows]


def psi(stored: Stored, model: str, horizon: str, now: float) -> float | None:
    """The index by the book, of the last 24 hours against the first 24; None if there are few."""
    values, of_model = stored.propensities(horizon), stored.column("model") == model
    hours = stored.column("event_time").astype(np.int64) // HOUR_MS
    usable = of_model & np.isfinite(values)
    first = hours[usable].min() if usable.any() else 0
    recent = np.histogram(values[usable & (hours * 3600 >= now - 86_400)], 20, (0, 1))[0]
    reference = np.histogram(values[usable & (hours < first + 24)], 20, (0, 1))[0]
    if recent.sum() < MIN_DRIFT_SCORES:
        return None
    p, q = ((counts + 0.5) / (counts.sum() + 10) for counts in (recent, reference))
    return float(((p - q) * np.log(p / q)).sum())


def test_drift_and_calibration_are_those_of_the_rows(stored):
    stored.add(recent_rows(6000))
    sampler = Sampler(stored.settings, seconds=60)
    sampler.sample()
    wanted = {
        (model, horizon): psi(stored, model, horizon, time.time()) for model in ("m1", "m2") for horizon in HORIZONS
    }
    found = {(each.model, each.horizon): each.psi for each in sampler.drift}
    assert found == pytest.approx({key: index for key, index in wanted.items() if index is not None})
    assert len(found) == 5  # m2 has no 24h
    of_view = {(row["model"], row["horizon"]): row for row in stored.query("SELECT * FROM online_evaluation_by_model")}
    assert {(each.model, each.horizon): each.scores for each in sampler.calibration} == {
        key: row["scores"] for key, row in of_view.items()
    }
    for each in sampler.calibration:
        assert each.error == pytest.approx(of_view[each.model, each.horizon]["ece"], abs=0.01)
    disk = sampler.disks[0]
    assert 0 < disk.free_bytes <= disk.total_bytes


def test_what_is_old_or_little_is_not_shown(stored):
    stored.add(random_rows(1, 2000))
    sampler = Sampler(stored.settings, seconds=60)
    sampler.sample()
    assert (sampler.drift, sampler.calibration) == ([], [])
    stored.add([row | {"user_id": f"new {row['user_id']}"} for row in recent_rows(300)])
    sampler.sample()
    assert sampler.drift == []


def test_a_question_that_fails_is_told_once_and_spoils_no_other(clickhouse, topic_prefix):
    settings = ClickHouseSettings(url=clickhouse, database=topic_prefix)
    connect(settings).command(f"CREATE DATABASE {topic_prefix}")
    sampler = Sampler(settings, seconds=60)
    with capture_logs() as log:
        sampler.sample()
        sampler.sample()
    assert [(line["event"], line["what"]) for line in log] == [
        ("not sampled for now", "drift"),
        ("not sampled for now", "calibration"),
    ]
    assert sampler.disks


def test_a_clickhouse_that_is_away_empties_the_samples():
    sampler = Sampler(ClickHouseSettings(url=f"http://127.0.0.1:{new_port()}"), seconds=60)
    sampler.disks = [None]
    sampler.sample()
    assert (sampler.disks, sampler.drift, sampler.calibration) == ([], [], [])
