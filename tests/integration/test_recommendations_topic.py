"""Recommendations from events to rows, on the real Kafka and engine, while workers and sinks are killed."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, save_checkpoint
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.table import RECOMMENDATIONS_TABLE
from tests.harness.pipeline import Pipeline, pipelines, shoppers
from tests.harness.records import recommendation_fields
from tests.harness.sink_process import Scores, SinkProcess, Stored, dead_letters, pipeline_settings
from tests.harness.waiting import eventually
from tests.model.items.made import trained

pytestmark = pytest.mark.integration
EVERY_SECONDS = 7200
ON = {"CARTCAST_RECOMMENDATIONS__EVENTS": "cart,purchase"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that ships, and one of items beside it."""
    shipped, directory = load_checkpoint(DEFAULT_CHECKPOINT), tmp_path_factory.mktemp("recommending") / "checkpoint"
    parts: dict[str, Any] = {"calibration": shipped.calibration, "metrics": {}, "training": {}}
    save_checkpoint(directory, shipped.model, **parts, items=trained()[1])
    return directory


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def settings(kafka: str, database: ClickHouseSettings, topic_prefix: str) -> Any:
    return pipeline_settings(kafka, database.url, topic_prefix, database=database.database, block_rows=50)


def expected(pipeline: Pipeline) -> set[tuple[int, int]]:
    """Coordinates of the events that trigger one, by the plain rules: a new event of a type, and the interval."""
    seen, last, found = set[tuple[str, str]](), dict[str, int](), set[tuple[int, int]]()
    clock = dict[str, int]()
    for record in pipeline.read(pipeline.topics.events):
        event = json.loads(record.value())
        user = event["user_id"]
        if (user, event["event_id"]) in seen:
            continue
        seen.add((user, event["event_id"]))
        clock[user] = max(clock.get(user, 0), event["ts"])
        is_due = clock[user] - last.get(user, 0) >= EVERY_SECONDS * 1000
        if event["type"] in {"cart", "purchase"} and is_due:
            last[user] = clock[user]
            found.add((record.partition(), record.offset()))
    return found


def recommendations(pipeline: Pipeline) -> dict[tuple[int, int], dict[str, Any]]:
    """All recommendations by source coordinates; fails if one is there twice, or its headers say otherwise."""
    messages = pipeline.read(pipeline.topics.recommendations)
    found = {}
    for message in messages:
        value = json.loads(message.value())
        headers = {name: text.decode() for name, text in message.headers()}
        at = value["source_partition"], value["source_offset"]
        assert (int(headers["partition"]), int(headers["offset"])) == at
        assert (message.partition(), message.key().decode()) == (at[0], value["user_id"])
        found[at] = value
    assert len(found) == len(messages), "a recommendation is on the topic twice"
    return found


def rows(settings: Any, columns: str = "source_partition, source_offset") -> Sequence[Any]:
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    try:
        order = "ORDER BY source_partition, source_offset"
        return client.query(f"SELECT {columns} FROM {RECOMMENDATIONS_TABLE} {order}").result_rows  # noqa: S608 - ours
    finally:
        client.close_connections()


def test_every_trigger_has_one_record_and_one_row_whatever_is_killed(
    pipeline: Pipeline, settings: Any, checkpoint: Path
) -> None:
    environment = {
        **ON,
        "CARTCAST_RECOMMENDATIONS__EVERY_SECONDS": str(EVERY_SECONDS),
        "CARTCAST_RECOMMENDATIONS__K": "3",
        "CARTCAST_WORKER__CHECKPOINT": str(checkpoint),
        "CARTCAST_WORKER__MAX_BATCH_EVENTS": "50",
    }
    events = shoppers(12_000, users=900, seed=4)
    distinct = len({event.event_id for event in events})
    pipeline.produce(events)
    for share in (0.2, 0.5, 0.8):
        worker = pipeline.start_worker(**environment)
        with SinkProcess(settings, environment=ON) as sink:
            pipeline.wait_for_scores(int(distinct * share))
            sink.wait_for("ready", "recommendations")
            worker.kill()  # and the sink at the end of the block
    last = pipeline.start_worker(**environment)
    pipeline.wait_for_scores(distinct)
    wanted = sorted(expected(pipeline))
    with SinkProcess(settings, environment=ON) as sink:
        eventually(lambda: len(rows(settings)) >= len(wanted), "the rows", found=lambda: sink.log)
        assert sink.stop()[0] == 0
    assert last.stop() == 0
    published = recommendations(pipeline)
    assert sorted(published) == wanted
    assert rows(settings) == wanted
    stored = rows(settings, "event_id, goal, model, length(items), items.item_id[1], items.why[1][1].kind")
    for row, at in zip(stored, wanted, strict=True):
        first = published[at]["items"][0]
        assert row[:3] == tuple(published[at][name] for name in ("event_id", "goal", "model"))
        assert row[3:] == (len(published[at]["items"]), first["item_id"], first["why"][0]["kind"])
    pipeline.check_scores()


def test_repeats_are_no_rows_and_strangers_are_dead_letters(pipeline: Pipeline, settings: Any) -> None:
    scores, topics = Scores(settings), pipeline.topics
    scores.have_events(1, 10)

    def send(offset: int, value: bytes | None = None) -> None:
        fields = recommendation_fields(1, offset, source_topic=topics.events)
        fields["items"][0]["later"] = {"by": ["a newer worker"]}
        headers = [("topic", topics.events), ("partition", "1"), ("offset", str(offset))]
        scores._producer.produce(topics.recommendations, value or json.dumps(fields).encode(), b"u", 1, headers=headers)
        scores.flush()

    for offset in (1, 2, 5, 2, 5, 6):
        send(offset)
    send(7, b'{"user_id": "u"}')
    send(11)  # of an event that is not there
    with SinkProcess(settings, environment=ON) as sink:
        eventually(lambda: len(rows(settings)) == 4, "the rows", found=lambda: sink.log)
        eventually(lambda: len(dead_letters(settings)) == 2, "the dead letters", found=lambda: sink.log)
        send(5)
        send(8)
        eventually(lambda: len(rows(settings)) == 5, "another row", found=lambda: sink.log)
        assert sink.stop()[0] == 0
    assert rows(settings) == [(1, offset) for offset in (1, 2, 5, 6, 8)]
    letters = dead_letters(settings)
    assert {(each["topic"], each["reason"]) for _, each in letters} == {(topics.recommendations.encode(), b"stranger")}
    assert rows(settings, "items.score, items.title[2], items.why[1][1].event.type")[0] == ([1.25, 1.0], None, "view")


def test_scores_are_stored_without_the_topic(pipeline: Pipeline, settings: Any) -> None:
    admin, topic = AdminClient({"bootstrap.servers": pipeline.kafka}), pipeline.topics.recommendations
    admin.delete_topics([topic])[topic].result()
    pipeline.wait_until(lambda: topic not in admin.list_topics().topics, "the deletion")
    scores = Scores(settings)
    scores.publish(1, range(10))
    with SinkProcess(settings, environment=ON) as sink:
        assert "does not exist" in sink.wait_for("recommendations are not stored")["reason"]
        Stored(settings).wait_for(10)
        code, summary = sink.stop()
    assert (code, summary["stored"]) == (0, 10)


@pytest.mark.parametrize(("recommends", "says"), [(False, "recommends no items"), (True, "does not exist")])
def test_a_worker_that_cannot_recommend_ends_with_one_line(
    pipeline: Pipeline, checkpoint: Path, recommends: bool, says: str
) -> None:
    admin, topic = AdminClient({"bootstrap.servers": pipeline.kafka}), pipeline.topics.recommendations
    admin.delete_topics([topic])[topic].result()
    pipeline.wait_until(lambda: topic not in admin.list_topics().topics, "the deletion")
    chosen = {"CARTCAST_WORKER__CHECKPOINT": str(checkpoint)} if recommends else {}
    worker = pipeline.start_worker(**ON, **chosen)
    assert worker.process.wait() == 1
    (line,) = [line for line in worker.log.read_text().splitlines() if line.startswith("cartcast: ")]
    assert says in line
