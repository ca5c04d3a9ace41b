import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest

from model.checkpoint import load_checkpoint
from model.simulator import SimulationSettings, simulate
from model.training.resume import DirectoryStateStore
from tests.harness.command import Ended, run_command
from tests.harness.waiting import eventually


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.jsonl"
    events = simulate(SimulationSettings(events=15_000, users=300, seed=4))
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events) + b"damaged\n")
    return path


def train_command(*arguments: object) -> Ended:
    return run_command("train", *arguments)


def test_a_clickhouse_that_is_away_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__URL", "http://127.0.0.1:9")
    refused = train_command("--from-clickhouse", "--out", tmp_path / "checkpoint")
    assert refused.status == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("cartcast: the history cannot be read: ClickHouse at http://127.0.0.1:9 does not answer")


def test_a_checkpoint_is_written_that_can_be_served(shop, tmp_path):
    out = tmp_path / "checkpoint"
    done = train_command(
        "--events", shop, "--format", "cartcast", "--out", out, "--epochs", 1, "--hidden-size", 8, "--json"
    )
    assert done.status == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    checkpoint = load_checkpoint(out)
    assert result["version"] == checkpoint.version
    assert result["bad_rows"] == checkpoint.training["bad_rows"] == 1
    assert result["metrics"] == checkpoint.metrics
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]
    assert (out / "earlier.safetensors").exists()


@pytest.mark.parametrize(("option", "is_warm"), [([], True), (["--from-scratch"], False)])
def test_training_begins_with_the_shipped_model_and_says_what_the_network_adds(shop, tmp_path, option, is_warm):
    out = tmp_path / "checkpoint"
    done = train_command("--events", shop, "--format", "cartcast", "--out", out, "--epochs", 1, *option)
    assert done.status == 0, done.stderr
    checkpoint = load_checkpoint(out)
    assert checkpoint.training["warm_start"] == is_warm
    for horizon, verdict in checkpoint.metrics["verdicts"].items():
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{horizon}: ")] or [""]
        said = {"better": "better than", "worse": "worse than", "no different": "adds nothing"}
        assert horizon == "total" or said[verdict] in line


def test_further_heads_are_in_the_checkpoint_the_table_and_the_card(shop, tmp_path):
    out = tmp_path / "checkpoint"
    heads = ["--head", "purchase_category", "--head", "next_type"]
    quick = ["--epochs", 1, "--hidden-size", 8]
    done = train_command("--events", shop, "--format", "cartcast", "--out", out, *quick, *heads)
    assert done.status == 0, done.stderr
    checkpoint = load_checkpoint(out)
    assert checkpoint.model.config.heads == ("next_type", "purchase_category")
    assert "shoes" in checkpoint.category_names.values()
    assert set(checkpoint.metrics["test"]["heads"]) == {"next_type", "purchase_category"}
    for head in ("next_type", "purchase_category"):
        assert head in done.stdout
        assert head in (out / "card.md").read_text()


SHOP = """
goals:
  cart_soon: {event: cart, within: 1h}
money: {within: 1h, currency: EUR}
"""


def test_a_shops_goals_and_money_are_learnt_from_its_file_and_kept_in_the_checkpoint(shop, tmp_path):
    out, own = tmp_path / "checkpoint", tmp_path / "shop.yml"
    own.write_text(SHOP)
    quick = ["--epochs", 1, "--hidden-size", 8, "--horizons", "session,1h"]
    done = train_command("--events", shop, "--format", "cartcast", "--out", out, "--shop", own, *quick)
    assert done.status == 0, done.stderr
    config = load_checkpoint(out).model.config
    assert config.horizons == ("session", "1h", "cart_soon")
    assert (config.shop.goal("cart_soon").within, config.shop.money.currency) == ("1h", "EUR")
    assert "cart_soon" in done.stdout
    assert "EUR within 1 hour" in done.stdout
    assert "`cart_soon`: cart, within 1 hour" in (out / "card.md").read_text()


def test_a_shops_file_that_makes_no_sense_is_one_line_that_names_the_place(shop, tmp_path):
    own = tmp_path / "shop.yml"
    own.write_text("goals: {soon: {event: carts, within: 1h}}")
    done = train_command("--events", shop, "--format", "cartcast", "--out", tmp_path / "c", "--shop", own)
    assert (done.status, done.stderr.count("\n")) == (2, 1)
    assert f"{own}: goals.soon.event: 'carts'" in done.stderr


def test_a_training_that_is_stopped_goes_on_with_resume_to_the_same_checkpoint(shop, tmp_path):
    options = ["--events", shop, "--format", "cartcast", "--epochs", 10, "--hidden-size", 8, "--memory-limit-mb", 0]
    options += ["--work-dir", tmp_path / "work"]
    (tmp_path / "work").mkdir()
    command = [sys.executable, "-m", "cartcast", "train", *map(str, options), "--out", str(tmp_path / "stopped")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        kept = tmp_path / ".stopped.training"
        eventually(lambda: kept.exists() or process.poll() is not None, "the first epoch")
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "--resume" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not (tmp_path / "stopped").exists()
    resumed = train_command(*options, "--out", tmp_path / "stopped", "--resume")
    assert resumed.status == 0, resumed.stderr
    assert train_command(*options, "--out", tmp_path / "whole").status == 0
    for name in ("weights.safetensors", "checkpoint.json", "metrics.json", "card.md"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list((tmp_path / "work").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole", "work"]


def test_a_finished_checkpoint_is_not_replaced_by_a_training_that_was_to_go_on(shop, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "checkpoint.json").write_text("finished")
    done = train_command("--events", shop, "--format", "cartcast", "--out", tmp_path / "c", "--resume")
    assert (done.status, (tmp_path / "c" / "checkpoint.json").read_text()) == (2, "finished")
    assert done.stderr.splitlines()[-1].endswith("to train again, leave out --resume")


def test_other_settings_are_not_resumed_with(shop, tmp_path):
    kept = DirectoryStateStore(tmp_path / ".c.training", "of another training")
    kept.save("validation", {})
    done = train_command("--events", shop, "--format", "cartcast", "--out", tmp_path / "c", "--resume")
    assert done.status == 1
    assert "other data, settings or versions" in done.stderr.splitlines()[-1]


def test_too_little_data_is_one_line_and_leaves_nothing(shop, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(shop.read_bytes().splitlines()[:50]))
    done = train_command("--events", few, "--format", "cartcast", "--out", tmp_path / "checkpoint")
    assert done.status == 1
    assert "too little to learn from" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "checkpoint").exists()


def test_a_history_without_order_is_one_line_and_nothing_is_made(shop, tmp_path):
    backwards = tmp_path / "backwards.jsonl"
    backwards.write_bytes(b"".join(reversed(shop.read_bytes().splitlines(keepends=True))))
    done = train_command("--events", backwards, "--format", "cartcast", "--out", tmp_path / "checkpoint")
    assert done.status == 1
    assert "the history is not sorted by time" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backwards.jsonl"]


def test_a_directory_of_something_else_is_refused_before_any_work(shop, tmp_path):
    (tmp_path / "thesis.tex").touch()
    done = train_command("--events", shop, "--format", "cartcast", "--out", tmp_path)
    assert done.status == 2
    assert "is no checkpoint" in done.stderr
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (["--events", "missing.jsonl", "--format", "cartcast"], 1, "cannot be read"),
        (["--events", __file__, "--format", "cartcast"], 1, "does not look like format cartcast"),
        (["--events", __file__, "--format", "excel"], 2, "unknown"),
        (["--events", __file__, "--format", "cartcast", "--horizons", "1h,1h"], 2, "once"),
        (["--events", __file__, "--format", "cartcast", "--horizons", "soon"], 2, "neither"),
        (["--events", os.devnull, "--format", "cartcast"], 1, "is empty"),
        (["--events", __file__, "--format", "cartcast", "--head", "mood"], 2, "next_type, purchase_category"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(tmp_path, options, exit_code, words):
    done = train_command(*options, "--out", tmp_path / "checkpoint")
    assert done.status == exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_next_items_are_learnt_and_measured_beside_simple_methods(shop, tmp_path):
    out, catalogue = tmp_path / "checkpoint", tmp_path / "items.jsonl"
    catalogue.write_text('{"item_id":"item-00001","title":"blue shoes","vector":[1,2,3]}\n{"item_id":""}\n')
    learnt = ["--next-items", "--items", catalogue]
    done = train_command(
        "--events", shop, "--format", "cartcast", "--out", out, "--epochs", 1, "--hidden-size", 8, *learnt
    )
    assert done.status == 0, done.stderr
    assert "line 2: item_id is empty" in done.stderr
    checkpoint = load_checkpoint(out)
    assert checkpoint.items.config.vector_size == 3
    assert checkpoint.items.item_ids[0] == "item-00001"
    assert len(checkpoint.items.item_ids) > 1000
    assert "item_ends" in checkpoint.codec.dtype.names
    models = checkpoint.metrics["next_items"]["goals"]["view"]["models"]
    assert {"cartcast", "vsknn", "popularity"} <= set(models)
    for name in models:
        assert models[name]["title"] in done.stdout
        assert models[name]["title"] in (out / "card.md").read_text()


def test_a_catalogue_of_other_items_is_refused_before_anything_is_learnt(shop, tmp_path):
    (tmp_path / "items.jsonl").write_bytes(b'{"item_id":"of another shop"}\n')
    refused = train_command(
        "--events", shop, "--format", "cartcast", "--out", tmp_path / "c", "--next-items", "--items",
        tmp_path / "items.jsonl",
    )  # fmt: skip
    assert refused.status == 1
    assert refused.stderr.splitlines()[-1] == (
        "cartcast: no item of the events is in the catalogue: give one whose ids are written as in the events"
    )


def test_a_catalogue_without_next_items_is_refused(shop, tmp_path):
    refused = train_command(
        "--events", shop, "--format", "cartcast", "--out", tmp_path / "c", "--items", tmp_path / "items.jsonl"
    )
    assert refused.status == 2
    assert "--items goes with --next-items" in refused.stderr
