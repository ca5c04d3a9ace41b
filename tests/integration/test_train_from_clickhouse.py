"""Training from ClickHouse's own table: the same events as from a file, and a checkpoint that can be served."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from model.checkpoint import load_checkpoint
from model.events import Event, Score
from model.simulator import SimulationSettings, simulate
from service.clickhouse_settings import ClickHouseSettings
from sinks.table import ClickHouseTable
from tests.harness.command import run_command

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Shop:
    """The same history twice."""

    file: Path
    config: Path


@pytest.fixture
def shop(database: ClickHouseSettings, tmp_path: Path) -> Shop:
    events = list(
        {event.event_id: event for event in simulate(SimulationSettings(events=15_000, users=300, seed=4))}.values()
    )
    table = ClickHouseTable(database)
    table.insert([msgspec.json.encode(score(offset, event)) for offset, event in enumerate(events)], "all")
    table.close()
    file, config = tmp_path / "shop.jsonl", tmp_path / "cartcast.yaml"
    wordless = [msgspec.structs.replace(event, text=None) for event in events]
    file.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in wordless))
    config.write_text(f"clickhouse:\n  url: {database.url}\n  database: {database.database}\n")
    return Shop(file, config)


def score(offset: int, event: Event) -> Score:
    about = (event.user_id, event.event_id, event.type, event.item_id, event.category, event.price, event.ts)
    scored_at = 1_800_000_000_000 + offset // 100
    return Score(*about, 0.5, 0.5, 0.5, "m", "events", 0, offset, scored_at, event.channel, scored_at)


def trained(out: Path, *options: object) -> dict[str, Any]:
    size = ("--epochs", 1, "--hidden-size", 8, "--no-refit", "--json")
    config, *options = options
    arguments = ["--config", config, "train", *options, "--out", out, *size]
    done = run_command(*arguments)
    assert done.status == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_table_and_a_file_give_the_same_history(shop, tmp_path):
    from_table = trained(tmp_path / "a", shop.config, "--from-clickhouse")
    from_file = trained(tmp_path / "b", shop.config, "--events", shop.file, "--format", "cartcast")
    for name in ("events", "users", "duplicates", "first_event", "validation_from", "test_from", "last_event"):
        assert from_table[name] == from_file[name], name
    for horizon, found in from_table["metrics"]["test"].items():
        expected = from_file["metrics"]["test"][horizon]
        assert (found["events"], found["base_rate"]) == (expected["events"], expected["base_rate"])
    assert load_checkpoint(tmp_path / "a").version == from_table["version"]


def test_a_period_is_a_part_of_the_history(shop, tmp_path):
    whole = [json.loads(line)["ts"] for line in shop.file.read_bytes().splitlines()]
    middle_ms = sorted(whole)[len(whole) // 4]
    found = trained(tmp_path / "a", shop.config, "--from-clickhouse", "--since", middle_ms)
    assert found["events"] == sum(ts >= middle_ms for ts in whole)
