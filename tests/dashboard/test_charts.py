from datetime import UTC, datetime

from dashboard.charts import model, pipeline, theme

PHONE_CARD = 330
"""Width in pixels of a chart on a phone of 390."""
ROWS = [
    {"mean_propensity": 0.02, "purchase_rate": 0.01, "scores": 900},
    {"mean_propensity": 0.71, "purchase_rate": 0.6, "scores": 3},
]


def test_counts_stand_under_the_curve_that_they_are_of():
    curve, bars = model.calibration(ROWS).to_dict(), model.counts(ROWS).to_dict()
    scales = [layer["encoding"]["x"]["scale"] for layer in curve["layer"]]
    assert [*scales, bars["encoding"]["x"]["scale"]] == [{"domain": [0, 1.05 * 0.71], "nice": False}] * 4


def test_a_legend_has_room_on_a_phone():
    row = {
        "time": datetime(2026, 1, 5, tzinfo=UTC),
        "consumer_group": "shop",
        "lag": 3,
        **dict.fromkeys(pipeline.DELAYS, 5),
    }
    for chart in (pipeline.delays([row]), pipeline.lag([row])):
        legend = chart.to_dict()["encoding"]["color"]["legend"]
        assert legend["columns"] * (legend["labelLimit"] + 30) < PHONE_CARD
    assert theme.height(theme.EVENT_TYPES) == theme.HEIGHT + 4 * 18
