"""`cartcast retrain` on events that the real engine holds: what it publishes, and what it leaves as it was."""

import fcntl
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

import model.checkpoint
import model.training.train
from model.checkpoint import Calibration, load_checkpoint, save_checkpoint
from model.events import Event
from model.lstm import LSTMConfig, PropensityLSTM
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from service.clickhouse_settings import ClickHouseSettings
from sinks.table import ClickHouseTable
from tests.harness.command import Ended, run_command
from tests.harness.records import score_fields
from tests.model.items.made import trained

pytestmark = pytest.mark.integration

RECIPE = {"settings": {"epochs": 1, "seed": 3}, "last_event": "2001-01-01T00:00:00+00:00"}


@dataclass(frozen=True)
class Shop:
    """A checkpoint that workers read, and the settings that name it and the table."""

    config: Path
    checkpoint: Path

    def retrain(self, *options: object) -> Ended:
        return run_command("--config", self.config, "retrain", *options)

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.checkpoint.iterdir()}


@pytest.fixture
def shop(database: ClickHouseSettings, tmp_path: Path) -> Shop:
    events = simulate(SimulationSettings(events=15_000, users=300, seed=4))
    table = ClickHouseTable(database)
    table.insert([as_score(offset, event) for offset, event in enumerate(events)], "all")
    table.close()
    torch.manual_seed(5)
    model = PropensityLSTM(LSTMConfig(hidden_size=8, horizons=("session", "24h")))
    parts: dict[str, Any] = {"calibration": Calibration.identity(2), "metrics": {}, "training": RECIPE}
    save_checkpoint(tmp_path / "live" / "current", model, items=trained()[1], **parts)
    config = tmp_path / "cartcast.yaml"
    clickhouse = f"clickhouse:\n  url: {database.url}\n  database: {database.database}\n"
    config.write_text(f"{clickhouse}worker:\n  checkpoint: {tmp_path / 'live' / 'current'}\n")
    return Shop(config, tmp_path / "live" / "current")


def as_score(offset: int, event: Event) -> bytes:
    about = {
        "user_id": event.user_id, "event_id": event.event_id, "event_type": event.type, "event_time": event.ts,
        "item_id": event.item_id, "category": event.category, "price": event.price, "text": event.text,
        "scored_at": 1_800_000_000_000 + offset,
    }  # fmt: skip
    return msgspec.json.encode(score_fields(0, offset) | about)


def test_what_is_better_is_published_and_what_has_seen_the_days_is_not_judged_on_them(shop):
    first = load_checkpoint(shop.checkpoint)
    done = shop.retrain("--json")
    assert done.status == 0, done.stderr
    told = json.loads(done.stdout)
    published = load_checkpoint(shop.checkpoint)
    assert told["published"]
    assert (told["current"], told["version"]) == (first.version, published.version)
    assert published.model.config == first.model.config
    assert published.training["settings"] == first.training["settings"] | published.training["settings"]
    assert published.training["warm_start"]
    assert published.items.item_ids == first.items.item_ids
    assert published.training["retrained"]["current"] == first.version
    assert load_checkpoint(Path(told["replaced"])).version == first.version
    assert f"{published.version} replaces {first.version}" in Path(told["page"]).read_text()

    before = shop.files
    again = shop.retrain()
    assert again.status == 0, again.stderr
    assert again.stdout.startswith(f"not published, {published.version} stays: ")
    assert f"{published.version} has learnt from events until" in again.stdout
    assert shop.files == before
    assert f"{published.version} stays" in Path(told["page"]).read_text()


def test_only_the_last_days_are_learnt_from(shop):
    told = json.loads(shop.retrain("--days", 12, "--json").stdout)
    whole = json.loads(shop.retrain("--days", 365, "--json").stdout)
    days = [(msgspec.convert(one["last_event"], type=Any), one["first_event"]) for one in (told, whole)]
    assert days[0][0] == days[1][0]
    assert days[0][1] > days[1][1]
    assert told["events"] < whole["events"] == 15_000 - whole["duplicates"]


def test_a_period_that_is_too_short_publishes_nothing(shop):
    before = shop.files
    done = shop.retrain("--days", 1, "--json")
    assert done.status == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["published"], told["version"], told["verdicts"]) == (False, None, None)
    assert "to compare on" in told["why"]
    assert shop.files == before


def test_two_at_once_are_one_line(shop):
    with (shop.checkpoint.parent / ".current.retrain.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        refused = shop.retrain()
    assert refused.status == 1
    assert f"another retraining of {shop.checkpoint} is under way" in refused.stderr


def test_an_interrupted_one_leaves_everything_as_it_was(shop, monkeypatch):
    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(model.training.train, "train", interrupted)
    before = shop.files
    stopped = shop.retrain()
    assert stopped.status == 130
    assert "nothing was published" in stopped.stderr
    assert shop.files == before
    assert sorted(path.name for path in shop.checkpoint.parent.iterdir()) == [".current.retrain.lock", "current"]
    assert shop.retrain("--days", 1).status == 0


def test_a_stop_that_comes_while_it_publishes_is_too_late(shop, monkeypatch):
    save = model.checkpoint.save_checkpoint

    def stopped_meanwhile(*arguments, **parts):
        os.kill(os.getpid(), signal.SIGTERM)
        return save(*arguments, **parts)

    monkeypatch.setattr(model.checkpoint, "save_checkpoint", stopped_meanwhile)
    done = shop.retrain()
    assert done.status == 0, done.stderr
    assert done.stdout.startswith(f"published {load_checkpoint(shop.checkpoint).version} in place of ")
    assert "better at" in (shop.checkpoint.parent / "current.retrain.html").read_text()


def test_where_there_is_no_checkpoint_yet_the_one_that_ships_is_the_current_one(shop, tmp_path):
    told = json.loads(shop.retrain("--checkpoint", tmp_path / "new", "--days", 1, "--json").stdout)
    shipped = load_checkpoint(model.checkpoint.DEFAULT_CHECKPOINT)
    assert told["current"] == shipped.version
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("options", "said"), [((), "no checkpoint is named"), (("--days", 0), "--days")])
def test_wrong_usage_is_one_line(options, said):
    refused = run_command("retrain", *options)
    assert refused.status == 2
    assert said in refused.stderr


DEFINITION = """
types: {quick_look: view}
attributes: {plan: {kind: categorical}}
goals:
  add_to_cart: {event: cart, within: 1h}
"""


def test_a_definition_that_has_changed_is_learnt_and_what_is_new_is_not_compared(shop, tmp_path):
    file = tmp_path / "shop.yml"
    file.write_text(DEFINITION)
    refused = shop.retrain("--shop", file)
    assert refused.status == 1
    assert "run `cartcast migrate --shop FILE`" in refused.stderr
    assert run_command("--config", shop.config, "migrate", "--shop", file).status == 0

    told = json.loads(shop.retrain("--shop", file, "--json").stdout)
    assert (told["published"], told["not_compared"], told["gone"]) == (True, ["add_to_cart"], [])
    assert list(told["verdicts"]) == ["session", "24h"]
    assert "add_to_cart: the current checkpoint does not predict it" in Path(told["page"]).read_text()
    published = load_checkpoint(shop.checkpoint)
    assert published.model.config.horizons == ("session", "24h", "add_to_cart")
    assert published.model.config.shop.event_types[-1] == "quick_look"
    assert published.model.config.shop.categorical == ("plan",)
    assert published.training["warm_start"]

    file.write_text("goals: {wish: {event: favorite, within: nonsense}}")
    wrong = shop.retrain("--shop", file)
    assert (wrong.status, len(wrong.stderr.splitlines())) == (2, 1)
    assert "goals.wish.within" in wrong.stderr


def test_a_goal_that_is_gone_is_said(shop, tmp_path):
    torch.manual_seed(5)
    definition = shop_of({"goals": {"add_to_cart": {"event": ["cart"], "within": "1h"}}})
    model = PropensityLSTM(LSTMConfig(hidden_size=8, horizons=("session", "24h", "add_to_cart"), shop=definition))
    save_checkpoint(shop.checkpoint, model, calibration=Calibration.identity(3), metrics={}, training=RECIPE)
    (tmp_path / "shop.yml").write_text("{}")
    done = shop.retrain("--shop", tmp_path / "shop.yml")
    assert done.status == 0, done.stderr
    assert "; without add_to_cart; restart the workers" in done.stdout
    assert load_checkpoint(shop.checkpoint).model.config.horizons == ("session", "24h")
