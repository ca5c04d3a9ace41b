"""A worker and the shop's catalogue, on a real Kafka: items come, change and go while it scores and is killed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.topics import create_topics
from tests.harness.pipeline import PARTITIONS, Pipeline, WorkerProcess, pipelines, shoppers

pytestmark = pytest.mark.integration


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


def put(pipeline: Pipeline, *records: tuple[str, dict[str, Any] | bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": pipeline.kafka})
    for item_id, fields in records:
        value = json.dumps({"item_id": item_id, **fields}).encode() if isinstance(fields, dict) else fields
        producer.produce(pipeline.topics.items, value, item_id)
    assert producer.flush() == 0


def item(worker: WorkerProcess, item_id: str) -> dict[str, Any]:
    _, body = worker.ask(f"/v1/items/{item_id}")
    answer = json.loads(body or b"{}")
    return answer.get("error") or answer


def test_a_worker_follows_the_catalogue_and_reads_it_again_after_a_crash(pipeline: Pipeline) -> None:
    put(pipeline, ("a", {"title": "old"}), ("b", {"price": "12 EUR"}), ("c", {}))
    worker = pipeline.start_worker()
    pipeline.wait_until(lambda: item(worker, "b").get("code") == "unknown_item", "the catalogue")
    assert (item(worker, "a")["title"], item(worker, "c")["known_from"]) == ("old", "catalogue")
    events = shoppers(500, users=20, seed=1)
    pipeline.produce(events[:250])
    put(pipeline, ("a", {"title": "new", "in_stock": False}), ("c", None), ("d", {}))
    pipeline.wait_until(lambda: "item_id" in item(worker, "d"), "an item that was added")
    assert (item(worker, "a")["title"], item(worker, "a")["in_stock"]) == ("new", False)
    assert item(worker, "c")["code"] == "unknown_item"
    worker.kill()
    put(pipeline, ("d", None), ("a", b"{"), ("e", {"title": "made while nobody looked"}))
    pipeline.produce(events[250:])
    again = pipeline.start_worker()
    pipeline.wait_until(lambda: item(again, "d").get("code") == "unknown_item", "the catalogue again")
    assert item(again, "c")["code"] == "unknown_item"
    assert item(again, "e")["title"] == "made while nobody looked"
    assert item(again, "a")["title"] == "new"  # what is no item changes nothing
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    assert again.stop() == 0
    (read,) = again.events("items are read")
    assert (read["items"], read["refused"]) == (2, 2)
    assert {(line["offset"], line["reason"]) for line in again.events("an item is refused")} == {
        (1, "price"),
        (7, "json"),
    }
    pipeline.check_scores()


def test_a_worker_scores_without_the_items_topic(pipeline: Pipeline) -> None:
    admin = AdminClient({"bootstrap.servers": pipeline.kafka})
    admin.delete_topics([pipeline.topics.items])[pipeline.topics.items].result()
    pipeline.wait_until(lambda: pipeline.topics.items not in admin.list_topics().topics, "the deletion")
    worker = pipeline.start_worker()
    pipeline.produce(shoppers(50, users=5, seed=2))
    pipeline.wait_for_scores(50)
    assert worker.is_ready()
    (line,) = worker.events("items are not read; scoring goes on without")
    assert "run `cartcast topics create`" in line["reason"]
    assert item(worker, "a")["code"] == "reading"
    create_topics({"bootstrap.servers": pipeline.kafka}, pipeline.topics, partitions=PARTITIONS, replication_factor=1)
    put(pipeline, ("a", {}))
    pipeline.wait_until(lambda: "item_id" in item(worker, "a"), "an item of a topic that was made later")
    assert worker.stop() == 0
