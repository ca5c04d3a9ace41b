"""The worker on a topic that carries another system's events."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.pipeline import PROPENSITIES, Pipeline, pipelines

pytestmark = pytest.mark.integration

SEGMENT = {"CARTCAST_WORKER__INPUT_FORMAT": "segment"}


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


def call(number: int, **changed: object) -> tuple[bytes, bytes]:
    """A call of one of five shoppers, with the key that it should have."""
    user = f"u{number % 5}"
    fields = {
        "type": "track",
        "event": "Order Completed" if number % 7 == 0 else "Product Viewed",
        "messageId": f"m{number}",
        "userId": user,
        "timestamp": f"2026-01-05T10:{number:02}:00+02:00",
        "properties": {"product_id": f"p{number}", "price": "9.50"},
    }
    return user.encode(), json.dumps(fields | changed).encode()


def test_segment_calls_are_scored_and_what_is_none_is_a_dead_letter(pipeline: Pipeline) -> None:
    pipeline.produce_raw([call(number) for number in range(20)])
    pipeline.produce_raw([call(20, type="identify"), (b"u", json.dumps({"event_id": "e", "user_id": "u"}).encode())])
    worker = pipeline.start_worker(**SEGMENT)
    pipeline.wait_for_scores(20)
    pipeline.wait_until(lambda: pipeline.count(pipeline.topics.dead_letters) == 2, "the dead letters")
    assert worker.stop() == 0
    scores = {score["event_id"]: score for score in pipeline.scores().values()}
    assert set(scores) == {f"m{number}" for number in range(20)}
    first = scores["m0"]
    assert (first["event_type"], first["item_id"], first["price"]) == ("purchase", "p0", 9.5)
    assert first["event_time"] == 1767600000000
    assert all(0 < first[name] < 1 for name in PROPENSITIES)
    letters = pipeline.read(pipeline.topics.dead_letters)
    assert [dict(letter.headers())["reason"] for letter in letters] == [b"type", b"type"]


def test_a_worker_with_another_setting_goes_on_where_its_predecessor_stopped(pipeline: Pipeline) -> None:
    pipeline.produce_raw([call(number) for number in range(10)])
    first = pipeline.start_worker(**SEGMENT)
    pipeline.wait_for_scores(10)
    assert first.stop() == 0
    canonical = {"event_id": "e", "user_id": "u0", "type": "view", "ts": "2026-01-05T09:00:00Z"}
    pipeline.produce_raw([(b"u0", json.dumps(canonical).encode())])
    second = pipeline.start_worker()
    pipeline.wait_for_scores(11)
    assert second.stop() == 0
    assert len(pipeline.scores()) == 11
