"""The online evaluation against model/training/labels.py and scikit-learn over the same rows."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from model.ranking import METRICS, Ranking
from service.clickhouse_settings import ClickHouseSettings
from tests.harness.stored_scores import HORIZONS, HOUR_MS, START_MS, Stored, random_rows

pytestmark = pytest.mark.integration


@pytest.fixture
def stored(database: ClickHouseSettings) -> Stored:
    return Stored(database)


def wanted(stored: Stored, group_by_hour: bool) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
    """Return propensities and outcomes of the scores whose horizon has passed, per (hour,) model and horizon."""
    labels, end = stored.labels()
    known = labels.known_by(end)
    hours, models = stored.column("event_time").astype(np.int64) // HOUR_MS, stored.column("model")
    groups = {}
    for number, horizon in enumerate(HORIZONS):
        values = stored.propensities(horizon)
        usable = known[:, number] & np.isfinite(values)
        keys = zip(hours, models, strict=True) if group_by_hour else ((model,) for model in models)
        for row, key in enumerate(keys):
            if usable[row]:
                groups.setdefault((*key, horizon), []).append((values[row], labels.bought[row, number]))
    return {key: (np.array([p for p, _ in rows]), np.array([b for _, b in rows])) for key, rows in groups.items()}


def check_by_hour(stored: Stored) -> None:
    found = {
        (int(row["hour"].timestamp()) // 3600, row["model"], row["horizon"]): row
        for row in stored.query("SELECT * FROM online_evaluation")
    }
    groups = wanted(stored, group_by_hour=True)
    assert found.keys() == groups.keys()
    for key, (values, bought) in groups.items():
        row = found[key]
        measured = dict(zip(METRICS, Ranking.of(values, bought).measure(), strict=True))
        assert (row["scores"], row["purchases"]) == (len(bought), bought.sum())
        for name in ("base_rate", "roc_auc", "pr_auc", "log_loss", "brier"):
            same(row[name], measured[name])
        for share in (1, 5, 10):
            same(row[f"lift_{share}"], measured[f"lift_{share}_percent"])


def same(found: float | None, measured: float) -> None:
    if np.isnan(measured):
        assert found is None
    else:
        assert found == pytest.approx(measured, abs=1e-6)


def check_by_model(stored: Stored, tolerance: float = 1e-6) -> None:
    found = {(row["model"], row["horizon"]): row for row in stored.query("SELECT * FROM online_evaluation_by_model")}
    groups = wanted(stored, group_by_hour=False)
    assert found.keys() == groups.keys()
    for key, (values, bought) in groups.items():
        row = found[key]
        assert (row["scores"], row["purchases"]) == (len(bought), bought.sum())
        assert row["mean_propensity"] == pytest.approx(values.mean())
        assert row["brier"] == pytest.approx(np.mean((values - bought) ** 2))
        if 0 < bought.sum() < len(bought):
            assert row["roc_auc"] == pytest.approx(roc_auc_score(bought, values), abs=tolerance)
            assert row["pr_auc"] == pytest.approx(average_precision_score(bought, values), abs=tolerance)


@pytest.mark.parametrize("seed", range(4))
def test_every_hour_says_what_labels_and_rankings_say(stored, seed):
    stored.add(random_rows(seed, 3000, hours=[60, 30, 200, 3][seed]))
    check_by_hour(stored)
    check_by_model(stored)


def test_events_and_purchases_that_come_late_change_what_was_made(stored):
    stored.add(random_rows(10, 1500))
    stored.add(random_rows(11, 200, first=1500))
    check_by_hour(stored)


def test_horizons_pass_while_the_data_goes_on(stored):
    rows = sorted(random_rows(12, 1500), key=lambda row: row["event_time"])
    for start in range(0, 1500, 300):
        stored.add(rows[start : start + 300])
        check_by_hour(stored)


def test_a_session_that_goes_on_for_days_is_known_when_it_ends(stored):
    bot = [
        row | {"user_id": "bot", "event_time": START_MS + number * 20 * 60_000, "event_type": "view"}
        for number, row in enumerate(random_rows(13, 150))
    ]
    stored.add(bot + random_rows(14, 500, first=150))
    check_by_hour(stored)
    stored.add([bot[-1] | {"event_time": START_MS + 53 * HOUR_MS, "source_offset": 5000, "event_type": "purchase"}])
    check_by_hour(stored)


def test_a_wrong_clock_ends_no_horizon(stored):
    rows = random_rows(19, 800)
    stored.add(rows)
    year_2099 = [row | {"event_time": 4_080_000_000_000, "source_offset": 5000 + n} for n, row in enumerate(rows[:3])]
    stored.insert(year_2099, "a wrong clock")
    check_by_hour(stored)
    check_by_model(stored)
    _, end = stored.labels()
    times = stored.column("event_time")
    (span,) = stored.query("SELECT * FROM data_span")
    assert span == {"first_event": times.min(), "last_event": end, "events": 800, "events_beyond": 3}
    assert max(row["known_at"] for row in stored.query("SELECT known_at FROM shopper_outcomes")) <= end


@pytest.mark.parametrize(
    ("ahead_hours", "last"),
    [([0, 20, 40, 60], 60), ([0, 23, 45, 71], 45), ([900, 910], 910), ([-500, -100, 23], 23), ([-500, 26, 40], -500)],
)
def test_events_ahead_of_the_clock_count_if_those_before_them_lead_there(stored, ahead_hours, last):
    now_hour = int(time.time() * 1000) // HOUR_MS
    rows = random_rows(20, len(ahead_hours))
    times = [(now_hour + hours) * HOUR_MS for hours in ahead_hours]
    stored.add([row | {"event_time": moment} for row, moment in zip(rows, times, strict=True)])
    (span,) = stored.query("SELECT * FROM data_span")
    assert (span["first_event"], span["last_event"]) == (times[0], (now_hour + last) * HOUR_MS)
    assert span["events_beyond"] == len(rows) - span["events"] == sum(hours > last for hours in ahead_hours)


def test_an_empty_table_has_no_outcomes(stored):
    for view in ("online_evaluation", "online_evaluation_by_model", "calibration_bins", "operating_points"):
        assert stored.query(f"SELECT * FROM {view}") == []  # noqa: S608


def test_calibration_bins_hold_every_score_between_their_bounds(stored):
    stored.add(random_rows(15, 3000))
    groups = wanted(stored, group_by_hour=False)
    bins = stored.query("SELECT * FROM calibration_bins")
    for row in bins:
        values, bought = groups[row["model"], row["horizon"]]
        inside = (values >= row["lower"]) & (values <= row["upper"])
        assert row["scores"] == inside.sum()
        assert row["mean_propensity"] == pytest.approx(values[inside].mean())
        assert row["purchase_rate"] == pytest.approx(bought[inside].mean())
    assert sum(row["scores"] for row in bins) == sum(len(bought) for _, bought in groups.values())


def test_operating_points_say_what_lies_above_a_threshold(stored):
    stored.add(random_rows(16, 3000))
    groups = wanted(stored, group_by_hour=False)
    for row in stored.query("SELECT * FROM operating_points"):
        values, bought = groups[row["model"], row["horizon"]]
        chosen = values >= row["threshold"]
        assert row["share"] == pytest.approx(chosen.mean())
        assert row["precision"] == pytest.approx(bought[chosen].mean())
        assert row["recall"] == pytest.approx(bought[chosen].sum() / bought.sum())
        assert row["false_positive_rate"] == pytest.approx((~bought[chosen]).sum() / (~bought).sum())


def test_bins_of_the_outcomes_add_up_to_the_evaluation(stored):
    stored.add(random_rows(17, 2000))
    added = stored.query(
        "SELECT hour, model, horizon, sum(scores) AS scores, sum(purchases) AS purchases, "
        "sum(sum_log_loss) / scores AS log_loss, sum(sum_squared_error) / scores AS brier "
        "FROM outcome_bins GROUP BY hour, model, horizon ORDER BY hour, model, horizon"
    )
    metrics = stored.query(
        "SELECT hour, model, horizon, scores, purchases, log_loss, brier FROM online_evaluation "
        "ORDER BY hour, model, horizon"
    )
    assert len(added) == len(metrics)
    for ours, theirs in zip(added, metrics, strict=True):
        assert list(ours.values())[:5] == list(theirs.values())[:5]
        assert list(ours.values())[5:] == pytest.approx(list(theirs.values())[5:])


def test_one_shoppers_outcomes_are_those_of_the_labels(stored):
    stored.add(random_rows(18, 800))
    labels, end = stored.labels()
    for user in ("it's", "x" * 500):
        rows = stored.query("SELECT * FROM shopper_outcomes WHERE user_id = {user:String}", user=user)
        found = sorted((row["horizon"], row["event_time"], bool(row["purchased"])) for row in rows)
        expected = [
            (horizon, row["event_time"], bool(labels.bought[place, number]))
            for place, row in enumerate(stored.rows)
            for number, horizon in enumerate(HORIZONS)
            if row["user_id"] == user and f"propensity_{horizon}" in row and labels.known_at_ms[place, number] <= end
        ]
        assert found == sorted(expected)
