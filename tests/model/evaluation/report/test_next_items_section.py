import pytest

from model.evaluation.next_items.metrics import METRICS
from model.evaluation.report.next_items import next_items_section
from model.evaluation.report.pictures import next_items

TITLES = {
    "cartcast": "Cartcast",
    "popularity": "Popularity",
    "vsknn": "V-SKNN",
    "without_words": "Cartcast without words",
}


def measured(recalls, width=0.01):
    return {
        name: {m: {"value": value, "interval": [value - width, value + width]} for m in METRICS}
        for name, value in recalls.items()
    }


def group(recalls, best="cartcast"):
    less = {name: value - recalls["cartcast"] for name, value in recalls.items() if name != "cartcast"}
    return {"metrics": measured(recalls), "differences": measured(less), "best": dict.fromkeys(METRICS, best)}


@pytest.fixture
def found():
    goal = {
        "transitions": 1234,
        "units": 321,
        "cold_transitions": 12,
        "unseen_transitions": 3,
        "models": {
            name: {"title": title, "about": "", "coverage_20": 0.25, "popularity_20": 0.5}
            for name, title in TITLES.items()
        },
        "all": group({"cartcast": 0.4, "popularity": 0.1, "vsknn": 0.35, "without_words": 0.38}),
        "cold": group({"cartcast": 0.2, "popularity": 0.0, "vsknn": 0.15, "without_words": 0.05}, best=None),
    }
    return {
        "training_events": 5000,
        "items": 777,
        "catalogue": True,
        "variants": ["without_words"],
        "goals": {"view": goal},
    }


def test_ours_is_compared_with_the_baseline_that_finds_most(found):
    (goal,) = next_items_section(found)["goals"]
    assert goal["comparison"]["words"] == "Better than the best baseline, V-SKNN"
    assert goal["comparison"]["numbers"] == "Recall@20 +0.0500 (+0.0400 to +0.0600)"


@pytest.mark.parametrize(("value", "kind"), [(0.4, "worse"), (0.305, "even")])
def test_the_comparison_follows_from_the_interval_of_the_difference(found, value, kind):
    found["goals"]["view"]["all"] = group({"cartcast": 0.3, "popularity": 0.1, "vsknn": value, "without_words": 0.2})
    (goal,) = next_items_section(found)["goals"]
    assert goal["comparison"]["kind"] == kind


def test_models_have_a_row_and_what_is_ours_less_something_has_not(found):
    (goal,) = next_items_section(found)["goals"]
    assert [row["title"] for row in goal["rows"]] == ["Cartcast", "Popularity", "V-SKNN"]
    assert [cell["best"] for cell in goal["rows"][0]["cells"]] == [True] * len(METRICS)
    assert not any(cell["best"] for row in (*goal["rows"][1:], *goal["cold_rows"]) for cell in row["cells"])
    assert (goal["rows"][0]["coverage"], goal["rows"][0]["popularity"]) == ("25.0 %", "50.0 %")


def test_no_difference_has_no_sign_but_plus(found):
    found["goals"]["view"]["all"] = group({"cartcast": 0.3, "popularity": 0.3, "vsknn": 0.2, "without_words": 0.3})
    (row,) = next_items_section(found)["variants"]
    assert row["cells"][1]["value"] == "+0.0000"


def test_what_a_kind_of_information_adds_stands_with_its_interval(found):
    (row,) = next_items_section(found)["variants"]
    assert (row["title"], row["goal"]) == ("without words", "Next view")
    without, adds, _, _, cold_without, cold_adds = row["cells"]
    assert (without["value"], adds["value"], adds["interval"]) == ("0.380", "+0.0200", "+0.0100 to +0.0300")
    assert (cold_without["value"], cold_adds["value"]) == ("0.050", "+0.1500")
    found["goals"]["view"].pop("cold")
    (row,) = next_items_section(found)["variants"]
    assert [cell["value"] for cell in row["cells"][4:]] == ["-"] * 2


def test_the_picture_has_one_panel_per_goal_with_every_model(found):
    found["goals"]["cart"] = found["goals"]["view"]
    picture = next_items(found)
    assert picture.count("<svg") == 2
    assert "V-SKNN</text>" in picture
    assert "without words" not in picture


def test_a_model_that_does_not_recommend_has_no_section():
    assert next_items_section(None) is None
    assert next_items(None) is None
