import copy
import json
import re

import numpy as np
import pytest
import torch

from model.evaluation.evaluate import EvaluationSettings, evaluate_checkpoint
from model.evaluation.report import page_of, write_report
from model.evaluation.report.pictures import calibration, pictures_of, training
from model.simulator import SimulationSettings, simulate
from model.training.history import read_history

CURVES = [{"epoch": epoch, "train_loss": 0.5 / epoch} for epoch in (1, 2, 3)]


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=8000, users=200, seed=5)))


@pytest.fixture(scope="module")
def settings(history):
    return EvaluationSettings(after_ms=int(np.quantile(history.time_ms, 0.7)), replicas=25, most_training_events=2000)


@pytest.fixture(scope="module")
def test_set(history, settings, checkpoint):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield evaluate_checkpoint(history, checkpoint, settings, ignore)
    torch.set_num_threads(threads)


@pytest.fixture
def report(test_set):
    found = copy.deepcopy(test_set)
    found["checkpoint"]["training_curves"] = CURVES
    return found


@pytest.fixture(scope="module")
def drawn(test_set):
    found = copy.deepcopy(test_set)
    found["checkpoint"]["training_curves"] = CURVES
    return pictures_of(found)


def test_every_picture_is_there(drawn):
    assert drawn.keys() == {
        "beside_pr_auc", "beside_log_loss", "calibration", "histogram", "pr", "roc", "gain", "groups", "training",
    }  # fmt: skip


def test_the_page_needs_no_network_and_no_script(report, drawn):
    page = page_of(report, drawn)
    without_names_of_xml = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", page)
    assert not re.search(r"https?://|<script|<link|<img|@import|url\((?!#)", without_names_of_xml)


def test_pictures_take_the_pages_colours_in_light_and_in_dark(report, drawn):
    everything = "".join(drawn.values())
    assert not re.search(r"#[0-9a-f]{6}", everything)
    light, dark = page_of(report, drawn).split("prefers-color-scheme: dark", 1)
    for variable in set(re.findall(r"var\(--([a-z-]+)\)", everything)):
        assert f"--{variable}:" in light
        assert f"--{variable}:" in dark


def test_letters_of_pictures_stay_letters(drawn):
    assert "Gradient boosting</text>" in drawn["beside_pr_auc"]


def test_every_horizon_model_and_metric_is_named(report):
    page = page_of(report, {})
    for words in (
        "Rest of the session", "Within 1 hour", "Within 24 hours", "Mean of the horizons",
        "Base rate", "Logistic regression", "Gradient boosting", "Textbook LSTM",
        "ROC AUC", "PR AUC", "Log loss", "Brier", "ECE", "Accuracy", "Precision", "Recall", "F1",
        "Lift 1 %", "Gain 10 %",
        "Users never seen in training", "No earlier events", "20 or more earlier events",
    ):  # fmt: skip
        assert words in page, words


def test_each_panel_is_a_figure_of_its_own_so_that_a_phone_has_one_below_the_other(report, drawn):
    for name in ("beside_pr_auc", "calibration", "groups"):
        assert drawn[name].count("<svg") == len(report["horizons"])
    assert "Gradient boosting</text>" in drawn["beside_pr_auc"].split("<svg")[-1]


def test_calibration_is_drawn_from_the_lowest_propensity_to_the_highest(report):
    report["curves"]["cartcast"]["1h"]["calibration"] = {
        "propensity": [0.002, 0.01, 0.04],
        "frequency": [0.0, 0.012, 0.03],
        "events": [50, 50, 50],
    }
    within_1_hour = calibration(report).split("<svg")[2]
    assert "1 %</text>" in within_1_hour
    assert "50 %</text>" not in within_1_hour


def test_a_cell_is_marked_only_where_a_model_is_clearly_best(report):
    for found in report["slices"]["all"]["best"].values():
        found.update(dict.fromkeys(found))
    assert 'class="best"' not in page_of(report, {})
    report["slices"]["all"]["best"]["1h"]["roc_auc"] = "gradient_boosting"
    assert page_of(report, {}).count('class="best"') == 1


def a_measure(value, name):
    return {name: value, f"{name}_interval": [0.9 * value, 1.1 * value]}


def test_money_is_shown_if_there_is_a_head_for_it(report):
    assert "Is the money true?" not in page_of(report, {})
    measured = {"mean": 9.5} | a_measure(1.05, "ratio") | a_measure(0.12, "d2") | a_measure(0.4, "gain_10_percent")
    report["money"] = {
        "asked": "EUR within 7 days",
        "mean": 9.25,
        "models": {"cartcast": measured, "constant": measured | {"mean": 8.75}},
        "differences": {"constant": a_measure(0.02, "d2")},
        "deciles": [{"events": 5, "predicted": 2.0, "actual": 1.5, "actual_interval": [1.0, 2.0]}] * 10,
    }
    page = page_of(report, pictures_of(report))
    for words in (
        "Is the money true?",
        "EUR within 7 days",
        "9.25",
        "1.050",
        "40.0 %",
        "1.00\u20132.00",
        "actual value",
    ):
        assert words in page, words


def test_goals_are_told_from_purchases(report):
    report["goals"], report["titles"]["1h"] = {"1h": "cart with price at least 50, within 1 hour"}, "Dear cart"
    page = page_of(report, pictures_of(report))
    assert "Dear cart (cart with price at least 50, within 1 hour)" in page
    assert "an event that meets a goal" in page


def test_a_value_stands_with_its_interval(report):
    ours = report["slices"]["all"]["models"]["cartcast"]["1h"]
    low, high = ours["intervals"]["roc_auc"]
    assert re.search(rf"{ours['roc_auc']:.3f}<small>{low:.3f}\u2013{high:.3f}</small>", page_of(report, {}))


@pytest.mark.parametrize(
    ("ends", "words"), [((0.01, 0.03), "better than"), ((-0.03, -0.01), "worse than"), ((-0.01, 0.01), "no clear")]
)
def test_the_comparison_follows_from_the_interval_of_the_difference(report, ends, words):
    for baseline in report["slices"]["all"]["differences"].values():
        for found in baseline.values():
            found["pr_auc"]["interval"] = ends
    assert words in page_of(report, {}).lower()


def test_without_training_curves_the_page_says_so(test_set):
    assert test_set["checkpoint"]["training_curves"] == []
    assert training(test_set) is None
    assert "no training curves" in page_of(test_set, {})


def test_without_text_the_page_says_so(report):
    assert "No text in these data" not in page_of(report, {})
    report["slices"]["all"]["models"].pop("cartcast_without_text")
    report["slices"]["all"]["differences"].pop("cartcast_without_text")
    assert "No text in these data" in page_of(report, {})


def test_a_model_trained_without_text_is_shown_beside(report):
    report["text"]["trained_without"] = {"1h": {"pr_auc": 0.123456, "log_loss": 0.98765}}
    assert "0.123" in page_of(report, {})
    assert "0.9877" in page_of(report, {})


def test_extra_heads_are_shown_if_there_are_some(report):
    assert "Extra heads" not in page_of(report, {})
    report["checkpoint"]["heads"] = {
        "next_type": {"top_1": 0.71, "top_5": 0.99, "most_frequent": 0.6, "events": 4000},
        "purchase_category": {"top_1": 0.33, "classes": ["a", "b"]},
    }
    page = page_of(report, {})
    assert "Extra heads" in page
    assert "next type" in page
    assert "0.7100" in page
    assert "4,000" in page


def test_what_is_noted_is_shown_and_harms_nobody(report):
    report["notes"] = ["<script>alert(1)</script>"]
    assert "<script" not in page_of(report, {})
    assert "&lt;script&gt;" in page_of(report, {})


def test_a_horizon_without_answers_leaves_its_panels_empty(report):
    for group in report["slices"].values():
        for measured in group["models"].values():
            for horizon in ("24h", "total"):
                measured[horizon] = dict.fromkeys(measured[horizon]) | {"intervals": dict.fromkeys(measured["1h"])}
    for curves in report["curves"].values():
        curves["24h"] = {}
    assert pictures_of(report).keys() >= {"beside_pr_auc", "pr", "calibration", "histogram", "groups"}
    assert "Within 24 hours" in page_of(report, {})


def test_both_files_are_written_whole_and_the_same_again(report, tmp_path):
    write_report(report, tmp_path / "deep" / "one")
    write_report(report, tmp_path / "two")
    for name in ("report.html", "report.json"):
        assert (tmp_path / "deep" / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(file.name for file in (tmp_path / "two").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "two" / "report.json").read_bytes()) == json.loads(json.dumps(report))
