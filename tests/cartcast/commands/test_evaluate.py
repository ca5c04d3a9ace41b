import json
from dataclasses import replace

import msgspec
import pytest

from cartcast.commands.shared.next_items import NextItemEvaluation
from model.checkpoint import load_checkpoint
from model.evaluation.evaluate import EvaluationSettings
from model.evaluation.next_items import gru4rec
from model.heads import HEADS
from model.lstm import LSTMConfig
from model.simulator import SimulationSettings, simulate
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.train import train
from service.errors import UsageError
from tests.harness.command import Ended, run_command
from tests.model.items.made import trained as next_item_model


@pytest.fixture(scope="module")
def events():
    return list(simulate(SimulationSettings(events=15_000, users=300, seed=4)))


@pytest.fixture(scope="module")
def shop(events, tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events) + b"damaged\n")
    return path


@pytest.fixture(scope="module")
def checkpoint(events, tmp_path_factory):
    return quickly_trained(events, LSTMConfig(hidden_size=8), tmp_path_factory.mktemp("checkpoints") / "shop")


def quickly_trained(events, config, directory, items=None):
    """Write what `cartcast train` writes."""
    trained = train(read_history(events), TrainingSettings(epochs=2), config, lambda *_: None)
    replace(trained, items=items).save(directory)
    return directory


def evaluate_command(*arguments: object) -> Ended:
    return run_command("evaluate", *arguments)


def test_a_checkpoint_is_measured_beside_its_baselines_and_reported(shop, checkpoint, tmp_path):
    out = tmp_path / "deep" / "report"
    files = ("--events", shop, "--format", "cartcast", "--checkpoint", checkpoint)
    done = evaluate_command(*files, "--out", out, "--replicas", 25, "--json")
    assert done.status == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    written = json.loads((out / "report.json").read_bytes())
    assert printed == {name: value for name, value in written.items() if name != "curves"}
    assert [model["name"] for model in printed["models"]][:2] == ["cartcast", "base_rate"]
    assert len(printed["slices"]["all"]["differences"]) >= 4
    assert printed["data"]["bad_rows"] == 1
    assert "damaged" not in done.stderr
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    expected = json.loads((checkpoint / "metrics.json").read_bytes())["test"]["1h"]["pr_auc"]
    assert printed["slices"]["all"]["models"]["cartcast"]["1h"]["pr_auc"] == pytest.approx(expected)


def test_a_checkpoint_with_further_heads_is_measured_and_the_report_shows_them(events, shop, tmp_path):
    config = LSTMConfig(hidden_size=8, category_buckets=64, heads=HEADS)
    checkpoint, out = quickly_trained(events, config, tmp_path / "shop"), tmp_path / "report"
    files = ("--events", shop, "--format", "cartcast", "--checkpoint", checkpoint)
    done = evaluate_command(*files, "--out", out, "--replicas", 0, "--no-baselines", "--json")
    assert done.status == 0, done.stderr
    measured = json.loads((checkpoint / "metrics.json").read_bytes())["test"]["heads"]
    assert json.loads(done.stdout.splitlines()[-1])["checkpoint"]["heads"] == measured
    page = (out / "report.html").read_text()
    for words in ("Extra heads", "next type", "purchase category", f"{measured['purchase_category']['top1']:.4f}"):
        assert words in page


@pytest.fixture(scope="module")
def recommending(tmp_path_factory):
    """A shop's events, its catalogue, and a checkpoint that recommends."""
    directory = tmp_path_factory.mktemp("recommending")
    happened = list(simulate(SimulationSettings(events=6000, users=150, items=300, seed=4)))
    (directory / "shop.jsonl").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in happened))
    item_ids = sorted({event.item_id for event in happened if event.item_id is not None})
    catalogue = [{"item_id": item_id, "title": f"thing {item_id}"} for item_id in item_ids[:-5]]
    (directory / "items.jsonl").write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in catalogue))
    quickly_trained(happened, LSTMConfig(hidden_size=8), directory / "checkpoint", items=next_item_model()[1])
    return directory, len(catalogue)


def test_next_items_of_a_checkpoint_that_recommends_are_measured_and_reported(recommending, tmp_path):
    directory, candidates = recommending
    files = ("--events", directory / "shop.jsonl", "--format", "cartcast", "--checkpoint", directory / "checkpoint")
    done = evaluate_command(*files, "--items", directory / "items.jsonl", "--out", tmp_path, "--replicas", 25)
    assert done.status == 0, done.stderr
    found = json.loads((tmp_path / "report.json").read_bytes())["next_items"]
    assert (found["items"], found["catalogue"], found["variants"]) == (candidates, True, ["without_words"])
    assert {"cartcast", "vsknn", "without_words"} <= found["goals"]["view"]["all"]["metrics"].keys()
    page = (tmp_path / "report.html").read_text()
    for words in (
        "What next",
        "Next view",
        "V-SKNN</text>",
        "What the catalogue adds",
        f"{candidates} items of the catalogue",
    ):
        assert words in page
    assert "next view" in done.stdout


def test_without_its_catalogue_next_items_are_measured_and_the_report_asks_for_it(recommending):
    directory, _ = recommending
    files = ("--events", directory / "shop.jsonl", "--format", "cartcast", "--checkpoint", directory / "checkpoint")
    done = evaluate_command(*files, "--no-baselines", "--replicas", 0, "--json")
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert list(report["next_items"]["goals"]["view"]["models"]) == ["cartcast"]
    assert any("with --items" in note for note in report["notes"])


@pytest.mark.skipif(not gru4rec.is_installed(), reason="no Cornac: the extra gru4rec is not installed")
def test_gru4rec_is_measured_if_it_is_asked_for(recommending):
    directory, _ = recommending
    files = ("--events", directory / "shop.jsonl", "--format", "cartcast", "--checkpoint", directory / "checkpoint")
    done = evaluate_command(*files, "--no-baselines", "--gru4rec", "--replicas", 0, "--json")
    assert done.status == 0, done.stderr
    goals = json.loads(done.stdout.splitlines()[-1])["next_items"]["goals"]
    assert all(list(found["models"]) == ["cartcast", "gru4rec"] for found in goals.values())


def test_gru4rec_without_its_package_or_without_next_items_is_refused(recommending, checkpoint, monkeypatch):
    directory, _ = recommending
    files = ("--events", directory / "shop.jsonl", "--format", "cartcast", "--gru4rec")
    refused = evaluate_command(*files, "--checkpoint", checkpoint)
    assert (refused.status, "--gru4rec goes with a checkpoint that recommends" in refused.stderr) == (2, True)
    monkeypatch.setattr(gru4rec, "is_installed", lambda: False)
    recommends = load_checkpoint(directory / "checkpoint")
    with pytest.raises(UsageError, match="with the extra `gru4rec`"):
        NextItemEvaluation(None, recommends, EvaluationSettings(), gru4rec=True)


def test_a_catalogue_that_does_not_go_with_the_checkpoint_is_refused(recommending, checkpoint, tmp_path):
    directory, _ = recommending
    files = ("--events", directory / "shop.jsonl", "--format", "cartcast")
    refused = evaluate_command(*files, "--checkpoint", checkpoint, "--items", directory / "items.jsonl")
    assert (refused.status, "a checkpoint that recommends" in refused.stderr) == (2, True)
    other = tmp_path / "other.jsonl"
    other.write_text('{"item_id": "a", "vector": [1, 2, 3, 4, 5, 6, 7]}\n')
    refused = evaluate_command(*files, "--checkpoint", directory / "checkpoint", "--items", other)
    assert (refused.status, "vectors have 7 numbers" in refused.stderr) == (2, True)


def test_without_a_directory_the_tables_are_printed_and_nothing_is_written(shop, checkpoint, tmp_path):
    done = evaluate_command(
        "--events", shop, "--format", "cartcast", "--checkpoint", checkpoint, "--no-baselines", "--replicas", 0,
        "--after", "2026-01-12",
    )  # fmt: skip
    assert done.status == 0, done.stderr
    for words in ("Rest of the session", "Within 1 hour", "Mean of the horizons", "PR AUC", "Cartcast"):
        assert words in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (["--after", "2099-01-01"], 1, "nothing to evaluate"),
        (["--after", "some day"], 2, "--after"),
        (["--checkpoint", "nowhere"], 1, "cannot be read"),
        (["--out", __file__], 2, "no report can be written"),
        (["--format", "taobao"], 1, "does not look like format taobao"),
        (["--format", "excel"], 2, "unknown"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(shop, checkpoint, options, exit_code, words):
    done = evaluate_command("--events", shop, "--format", "cartcast", "--checkpoint", checkpoint, *options)
    assert done.status == exit_code
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_fails_leaves_no_report_behind(shop, checkpoint, tmp_path):
    backwards = tmp_path / "backwards.jsonl"
    backwards.write_bytes(b"".join(reversed(shop.read_bytes().splitlines(keepends=True))))
    for events, directory, line in (
        (backwards, checkpoint, "the history is not sorted by time"),
        (shop, tmp_path / "nothing", "cannot be read"),
    ):
        done = run_command(
            "evaluate",
            "--events",
            events,
            "--format",
            "cartcast",
            "--checkpoint",
            directory,
            "--out",
            tmp_path / "report",
        )
        assert done.status == 1
        assert line in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backwards.jsonl"]
