from datetime import UTC, datetime, timedelta

from dashboard.charts import calibration, model, overview, pipeline, theme

MINUTE = timedelta(minutes=1)
PHONE_CARD = 330
"""Width in pixels of a chart on a phone of 390."""
ROWS = [
    {"mean_propensity": 0.02, "purchase_rate": 0.01, "low": 0.005, "high": 0.02, "scores": 900},
    {"mean_propensity": 0.71, "purchase_rate": 0.6, "low": 0.2, "high": 0.9, "scores": 3},
]


def test_counts_stand_under_the_curve_that_they_are_of():
    curve, bars = calibration.calibration(ROWS).to_dict(), calibration.counts(ROWS).to_dict()
    scales = [layer["encoding"]["x"]["scale"] for layer in curve["layer"]]
    assert [*scales, bars["encoding"]["x"]["scale"]] == [{"domain": [0, 1.05 * 0.71], "nice": False}] * 4


def test_a_legend_has_room_on_a_phone():
    row = {
        "time": datetime(2026, 1, 5, tzinfo=UTC),
        "consumer_group": "shop",
        "lag": 3,
        **dict.fromkeys(pipeline.DELAYS, 5),
    }
    for chart in (pipeline.delays([row], MINUTE), pipeline.lag([row], MINUTE)):
        legend = chart.to_dict()["encoding"]["color"]["legend"]
        assert legend["columns"] * (legend["labelLimit"] + 30) < PHONE_CARD
    assert theme.height(theme.EVENT_TYPES) == theme.HEIGHT + 4 * 18


def test_a_line_bridges_no_time_without_data():
    start = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [{"time": start + minutes * MINUTE, "group": group, "lag": 1}
            for minutes, group in ((0, "a"), (0, "b"), (3, "a"), (60, "a"), (61, "a"), (61, "b"))]  # fmt: skip
    found = theme.with_gaps(rows, MINUTE, "group")
    assert [row for row in found if row not in rows] == [
        {"time": start + 4 * MINUTE, "group": "a"},
        {"time": start + MINUTE, "group": "b"},
    ]
    assert [row for row in found if row in rows] == rows
    drawn = pipeline.lag([row | {"consumer_group": row["group"]} for row in rows], MINUTE).to_dict()
    (points,) = drawn["datasets"].values()
    assert sum("lag" not in point for point in points) == 2


def test_a_bin_of_few_scores_is_hollow():
    (points,) = [
        layer for layer in calibration.calibration(ROWS).to_dict()["layer"] if layer["mark"]["type"] == "point"
    ]
    assert points["encoding"]["fill"]["condition"]["test"] == "datum.scores >= 20"
    assert points["encoding"]["fill"]["value"] == "transparent"


def test_hours_of_the_model_bridge_no_time_without_data():
    start = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [{"hour": start + hours * 60 * MINUTE, "psi": 0.1, "scores": 5, "mean_propensity": 0.1, "base_rate": 0.1}
            for hours in (0, 1, 30)]  # fmt: skip
    for chart, breaks in ((model.metric_over_time(rows, "psi", "PSI"), 1), (model.said_and_did(rows), 2)):
        (points,) = chart.to_dict()["datasets"].values()
        assert sum("psi" not in point and "share" not in point for point in points) == breaks


def test_purchases_are_drawn_over_the_times_of_all_events():
    start = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [{"time": start + hours * 60 * MINUTE, "event_type": kind, "events": 3}
            for hours, kind in ((0, "view"), (0, "purchase"), (5, "view"))]  # fmt: skip
    (points,) = overview.purchases(rows, 60 * MINUTE).to_dict()["datasets"].values()
    assert [point["events"] for point in points] == [3, 0]
