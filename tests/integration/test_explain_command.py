"""`cartcast explain` against a real worker, and against real rows when there is none."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.events import Event
from service.clickhouse_settings import ClickHouseSettings
from sinks.stored import latest_scores
from sinks.table import ClickHouseTable
from tests.harness.command import Ended, run_command
from tests.harness.pipeline import Pipeline, pipelines

pytestmark = pytest.mark.integration

USER = "Zoë's <b>/?% 🛒"
START_MS = 1_767_571_200_000


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def settings(database: ClickHouseSettings) -> ClickHouseSettings:
    return database


def events(count: int) -> list[Event]:
    types = ["view", "view", "cart", "view", "search"]
    return [
        Event(
            f"e{number}",
            USER,
            types[number % 5],
            START_MS + 45_000 * number,
            item_id=f"sku-{number}" if number % 5 < 4 else None,
            category="shoes",
            price=16.0,
        )
        for number in range(count)
    ]


def explain(settings: ClickHouseSettings, *arguments: str, **environment: str) -> Ended:
    variables = {"CARTCAST_CLICKHOUSE__URL": settings.url, "CARTCAST_CLICKHOUSE__DATABASE": settings.database}
    return run_command("explain", *arguments, environment=variables | environment)


def test_a_worker_is_asked_and_without_one_the_rows_say_the_same(
    pipeline: Pipeline, settings: ClickHouseSettings
) -> None:
    worker = pipeline.start_worker()
    pipeline.wait_until(lambda: bool(worker.events("starting")), "the worker's start")
    url = worker.events("starting")[0]["look_ups"]
    pipeline.produce(events(40))
    pipeline.wait_for_scores(40)
    scores = list(pipeline.scores().values())
    table = ClickHouseTable(settings)
    table.insert([msgspec.json.encode(score) for score in scores], "block")
    table.close()

    ours = {"CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix}
    foreign = explain(settings, USER, "--url", url)
    assert (foreign.status, foreign.stdout) == (1, "")
    assert f"another pipeline's: it scores {pipeline.topics.events}, not cartcast.events" in foreign.stderr
    asked = explain(settings, USER, "--url", url, "--json", **ours)
    assert (asked.status, asked.stderr) == (0, "")
    answer = json.loads(asked.stdout.splitlines()[-1])
    assert (answer["source"], answer["user_id"]) == ("worker", USER)
    assert answer["propensity"]["24h"] == scores[-1]["propensity_24h"]
    assert [event["item_id"] for event in answer["events"]] == [event.item_id for event in events(40)[8:]]
    drawn = explain(settings, USER, "--url", url, "--horizon", "1h", COLUMNS="100", **ours)
    assert drawn.status == 0
    assert f"published {scores[-1]['propensity_1h']:.4f}" in drawn.stdout
    assert "sku-38" in drawn.stdout

    for arguments, words in [
        (("nobody",), "has accepted no event of this user"),
        ((USER, "--event", "e1"), "not among the user's last 32"),
    ]:
        refused = explain(settings, *arguments, "--url", url, **ours)
        assert (refused.status, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
        assert words in refused.stderr
    assert worker.stop() == 0

    from_rows = explain(settings, USER, "--url", url, "--json", **ours)
    assert from_rows.status == 0
    assert from_rows.stderr.startswith(f"no worker answers at {url}: explained from database {settings.database} at ")
    rows = json.loads(from_rows.stdout.splitlines()[-1])
    assert rows.pop("source") == "clickhouse"
    assert rows.pop("where") != answer.pop("where")
    assert answer.pop("source") == "worker"
    for mine, theirs in zip(rows.pop("events"), answer.pop("events"), strict=True):
        for name in ("contribution", "log_odds"):
            assert mine.pop(name) == pytest.approx(theirs.pop(name), abs=2e-4)
        assert mine == theirs
    assert rows.pop("from_ring") == pytest.approx(answer.pop("from_ring"), abs=1e-5)
    assert rows.pop("propensity") == pytest.approx(answer.pop("propensity"), abs=1e-6)
    assert rows == answer

    earlier = explain(settings, USER, "--event", "e1", "--checkpoint", str(DEFAULT_CHECKPOINT), "--json")
    assert earlier.status == 0, earlier.stderr
    old = json.loads(earlier.stdout.splitlines()[-1])
    assert (old["source"], len(old["events"]), old["earlier_events"]) == ("clickhouse", 2, 0)
    assert old["propensity"]["24h"] == pytest.approx(scores[1]["propensity_24h"], abs=1e-6)
    for arguments, words in [(("nobody",), "no score of this user: correct"), ((USER, "--event", "?"), "and event")]:
        refused = explain(settings, *arguments, "--checkpoint", str(DEFAULT_CHECKPOINT))
        assert (refused.status, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
        assert words in refused.stderr


def test_rows_that_are_doubled_or_of_another_model_are_no_obstacle(settings: ClickHouseSettings) -> None:
    version = load_checkpoint(DEFAULT_CHECKPOINT).version
    rows = [
        {
            "user_id": USER, "event_id": event.event_id, "event_type": event.type, "item_id": event.item_id,
            "event_time": event.ts, "propensity_24h": 0.5, "model": "another", "source_topic": "t",
            "source_partition": 0, "source_offset": offset, "scored_at": START_MS + offset,
        }
        for offset, event in enumerate(events(3))
    ]  # fmt: skip
    table = ClickHouseTable(settings)
    table.insert([msgspec.json.encode(row) for row in rows], "one")
    table.insert([msgspec.json.encode(row) for row in rows[1:]], "two")
    table.close()
    latest = latest_scores(settings, USER)
    assert ([one.event.event_id for one in latest.scores], latest.count) == (["e0", "e1", "e2"], 3)
    assert [one.propensities for one in latest.scores] == [{"24h": 0.5}] * 3
    assert [one.event.event_id for one in latest_scores(settings, USER, limit=2).scores] == ["e1", "e2"]
    assert latest_scores(settings, "'; DROP TABLE scores; --").scores == []
    ended = explain(settings, USER, "--json", CARTCAST_WORKER__WEB_PORT="0")
    assert ended.status == 0
    answer = json.loads(ended.stdout)
    assert (answer["model"], answer["propensity"], answer["earlier_events"]) == (version, None, 0)


def test_without_worker_and_clickhouse_there_is_one_line(settings: ClickHouseSettings) -> None:
    nowhere = ClickHouseSettings(url="http://127.0.0.1:1", database=settings.database)
    ended = explain(nowhere, "u", "--url", "http://127.0.0.1:1")
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "127.0.0.1:1" in ended.stderr
    for arguments in (["", "--url", "http://127.0.0.1:1"], ["u", "--url", "ftp://x"], ["u", "--event", ""]):
        assert explain(settings, *arguments).status == 2
