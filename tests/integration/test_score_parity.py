"""The same file through Kafka and the worker, and through `cartcast score`: every number is the same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from model.events import Event, propensity_field
from model.formats import read_events
from model.horizons import HORIZONS
from model.simulator import SimulationSettings, simulate
from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError
from sinks.stored import Period, StoredHistory
from sinks.table import ClickHouseTable
from tests.harness.checkpoints import random_checkpoint
from tests.harness.command import run_command
from tests.harness.contract_schemas import check_scores_on_the_topic
from tests.harness.databases import Databases
from tests.harness.pipeline import Pipeline, pipelines, shoppers
from tests.model.own_shop import as_json, large_definition, large_shop, own_events

pytestmark = pytest.mark.integration

EVENTS = 6000
LISTED = 10
"""Before every so many events something was shown."""


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Simulated shopping with late and repeated events, words, lists that were shown, and two damaged rows."""
    lines = []
    for number, event in enumerate(simulate(SimulationSettings(events=EVENTS, users=150, seed=9))):
        if number % LISTED == 0:
            shown = {"event_id": f"shown-{number}", "type": "impression", "items": ["a", "b"], "placement": "home"}
            lines.append(json.dumps(shown | {"user_id": event.user_id, "ts": event.ts}).encode())
        lines.append(msgspec.json.encode(event))
    path = tmp_path / "shop.jsonl"
    path.write_bytes(b"\n".join([b"damaged", *lines[:4000], b'{"user_id":"u"}', *lines[4000:]]) + b"\n")
    return path


def cartcast(*arguments: object) -> dict[str, Any]:
    done = run_command(*arguments, "--json")
    assert done.status == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def by_event(
    lines: list[dict[str, Any]], names: tuple[str, ...], named: Callable[[str], str] = propensity_field
) -> dict[tuple[str, str], list[Any]]:
    names = tuple(map(named, names))
    return {(line["user_id"], line["event_id"]): [line[name] for name in names] for line in lines}


def assert_equal_answers(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare what the extra heads say; where two classes are as good as equal, either may be the first."""
    assert_equal(*(by_event(lines, ("next_type_propensity",), named=str) for lines in (found, expected)))
    words = [by_event(lines, ("next_type", "next_purchase_categories"), named=str) for lines in (found, expected)]
    assert np.mean([words[0][event] == words[1][event] for event in words[0]]) > 0.98
    assert len({kind for kind, _ in words[0].values()}) > 1


def assert_equal(found: dict[tuple[str, str], list[float]], expected: dict[tuple[str, str], list[float]]) -> None:
    assert found.keys() == expected.keys()
    for event, numbers in expected.items():
        np.testing.assert_allclose(found[event], numbers, atol=1e-4, err_msg=str(event))


def test_offline_scores_are_the_live_ones_whatever_the_models_horizons(pipeline: Pipeline, shop: Path) -> None:
    horizons = ("1h", "session", "7d")
    checkpoint = random_checkpoint(pipeline.directory, horizons)
    out = pipeline.directory / "scores.jsonl"
    offline = cartcast("score", "--events", shop, "--format", "cartcast", "--checkpoint", checkpoint, "--out", out)
    servers = ("--bootstrap-servers", pipeline.kafka, "--topic-prefix", pipeline.topics.prefix)
    cartcast("replay", shop, "--format", "cartcast", *servers)
    pipeline.start_worker(CARTCAST_WORKER__CHECKPOINT=str(checkpoint))
    pipeline.wait_for_scores(offline["scored"] + EVENTS // LISTED)

    published = list(pipeline.scores().values())
    scores = [score for score in published if score["event_type"] != "impression"]
    assert [score["shown"] for score in published if score not in scores] == [["a", "b"]] * offline["impressions"]
    assert offline["impressions"] == EVENTS // LISTED
    check_scores_on_the_topic(pipeline.read(pipeline.topics.scores))
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    found = by_event(lines, horizons)
    assert_equal_answers(lines, scores)
    assert len(found) == offline["scored"] == EVENTS - offline["duplicates"]
    assert_equal(found, by_event(scores, horizons))
    assert np.std(list(found.values()), axis=0).min() > 1e-3, "a model that ignores its input proves nothing"


def test_scores_of_the_history_in_clickhouse_are_the_live_ones(
    pipeline: Pipeline, database: ClickHouseSettings
) -> None:
    """Of events without words, which the table does not keep; late and repeated ones are among them."""
    checkpoint = random_checkpoint(pipeline.directory, HORIZONS)
    events = shoppers(3000, users=100, seed=6)
    events[100], events[900] = events[900], events[100]
    pipeline.produce(events)
    pipeline.start_worker(CARTCAST_WORKER__CHECKPOINT=str(checkpoint))
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    scores = list(pipeline.scores().values())
    table = ClickHouseTable(database)
    table.insert([msgspec.json.encode(score) for score in scores], "all")
    table.close()

    config, out = pipeline.directory / "cartcast.yaml", pipeline.directory / "scores.jsonl"
    config.write_text(f"clickhouse:\n  url: {database.url}\n  database: {database.database}\n")
    cartcast("--config", config, "score", "--from-clickhouse", "--checkpoint", checkpoint, "--out", out)
    found = by_event([json.loads(line) for line in out.read_bytes().splitlines()], HORIZONS)
    assert_equal(found, by_event(scores, HORIZONS))


def test_a_shop_of_forty_types_and_ten_attributes_scores_live_as_offline_and_as_from_clickhouse(
    pipeline: Pipeline, databases: Databases
) -> None:
    shop, directory = large_shop(), pipeline.directory
    definition, events = directory / "shop.yml", directory / "events.jsonl"
    definition.write_text(json.dumps(large_definition()))
    events.write_bytes(b"\n".join(as_json(own_events(shop, 3000, users=60))) + b"\n")
    checkpoint, out = random_checkpoint(directory, HORIZONS, shop), directory / "scores.jsonl"
    offline = cartcast("score", "--events", events, "--format", "cartcast", "--checkpoint", checkpoint, "--out", out)
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    expected = by_event(lines, HORIZONS)
    servers = ("--bootstrap-servers", pipeline.kafka, "--topic-prefix", pipeline.topics.prefix)
    cartcast("replay", events, "--format", "cartcast", "--shop", definition, *servers)
    pipeline.start_worker(CARTCAST_WORKER__CHECKPOINT=str(checkpoint))
    pipeline.wait_for_scores(offline["scored"])

    messages = pipeline.read(pipeline.topics.scores)
    check_scores_on_the_topic(messages)
    scores = [json.loads(message.value() or b"") for message in messages]
    assert_equal(by_event(scores, HORIZONS), expected)
    assert_equal_answers(lines, scores)
    assert {score["next_type"] for score in scores} & shop.types.keys()
    assert {score["custom_type"] for score in scores} == {None, *shop.types}
    assert {name for score in scores for name in score["attributes"]} == set(shop.attributes)

    with databases.lend() as database:
        config = directory / "cartcast.yaml"
        config.write_text(f"clickhouse:\n  url: {database.url}\n  database: {database.database}\n")
        with pytest.raises(RefusedError, match="migrate --shop"):
            next(StoredHistory(database, Period(), shop).events())
        cartcast("--config", config, "migrate", "--shop", definition)
        table = ClickHouseTable(database)
        table.insert([message.value() or b"" for message in messages], "all")
        table.close()
        cartcast("--config", config, "score", "--from-clickhouse", "--checkpoint", checkpoint, "--out", out)
        found = by_event([json.loads(line) for line in out.read_bytes().splitlines()], HORIZONS)
        assert_equal(found, expected)
        stored = StoredHistory(database, Period(), shop).events()
        read = read_events(events, "cartcast", shop=shop)
        assert {event.event_id: (event.type, event.attributes) for event in stored} == {
            event.event_id: (event.type, event.attributes) for event in read if isinstance(event, Event)
        }
