"""The stream worker on a real Kafka: every accepted event scored once, every damaged record a dead letter."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.events import Score
from tests.harness.contract_schemas import check_scores_on_the_topic, validator
from tests.harness.pipeline import PROPENSITIES, Pipeline, pipelines, shoppers

pytestmark = pytest.mark.integration

EVENT = {"event_id": "e", "user_id": "u", "type": "view", "ts": 1_700_000_000_000}


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


def test_every_accepted_event_is_scored_once_and_duplicates_are_skipped(pipeline: Pipeline) -> None:
    events = shoppers(3000, users=150, seed=1)
    pipeline.produce(events)
    worker = pipeline.start_worker()
    distinct = len({event.event_id for event in events})
    pipeline.wait_for_scores(distinct)

    scores = pipeline.check_scores()
    assert worker.stop() == 0
    assert {score["event_id"] for score in scores.values()} == {event.event_id for event in events}
    assert all(set(score) == set(Score.__struct_fields__) for score in scores.values())
    check_scores_on_the_topic(pipeline.read(pipeline.topics.scores))
    assert worker.events("stopped")[0]["duplicates"] == len(events) - distinct


def test_scores_after_a_restart_equal_those_of_an_uninterrupted_run(pipeline: Pipeline) -> None:
    events = shoppers(4000, users=100, seed=2)
    half = len(events) // 2
    first_half = len({event.event_id for event in events[:half]})
    pipeline.produce(events[:half])
    first = pipeline.start_worker()
    pipeline.wait_for_scores(first_half)
    assert first.stop() == 0

    pipeline.produce(events[half:])
    second = pipeline.start_worker()
    pipeline.wait_for_scores(len({event.event_id for event in events}))

    pipeline.check_scores()
    assert second.stop() == 0
    assert second.events("ready")[0]["users"] == len({event.user_id for event in events[:half]})
    assert second.events("stopped")[0]["already_applied"] == 0


def test_every_damaged_record_is_a_dead_letter_that_says_why_and_where(pipeline: Pipeline) -> None:
    damaged = _damaged_records()
    good = [(b"u", json.dumps(EVENT | {"event_id": f"good-{number}"}).encode()) for number in range(20)]
    pipeline.produce_raw(good[:10], partition=0)
    pipeline.produce_raw([(key, value) for _, key, value in damaged], partition=0)
    pipeline.produce_raw(good[10:], partition=0)
    worker = pipeline.start_worker()
    pipeline.wait_for_scores(20)
    assert worker.stop() == 0

    letters = pipeline.read(pipeline.topics.dead_letters)
    assert [(letter.key(), letter.value()) for letter in letters] == [(key, value) for _, key, value in damaged]
    headers = [{name: value.decode() for name, value in letter.headers()} for letter in letters]
    assert [header["reason"] for header in headers] == [reason for reason, _, _ in damaged]
    assert [header["offset"] for header in headers] == [str(10 + number) for number in range(len(damaged))]
    assert {(header["topic"], header["partition"]) for header in headers} == {(pipeline.topics.events, "0")}
    assert all(header["error"] and "\n" not in header["error"] for header in headers)
    for header in headers:
        validator("dead-letter-headers").validate(header)
    pipeline.check_scores()


def test_numbers_sent_as_ids_are_their_decimal_text(pipeline: Pipeline) -> None:
    pipeline.produce_raw([(b"42", json.dumps(EVENT | {"user_id": 42, "event_id": 7, "item_id": 99}).encode())])
    pipeline.start_worker()
    pipeline.wait_for_scores(1)
    (score,) = pipeline.scores().values()
    assert (score["user_id"], score["event_id"], score["item_id"]) == ("42", "7", "99")


def test_a_users_scores_move_with_what_the_user_does(pipeline: Pipeline) -> None:
    """Guards against a pipeline that scores every event from a blank state."""
    pipeline.produce(shoppers(400, users=1, seed=3))
    pipeline.start_worker()
    pipeline.wait_for_scores(400)
    scores = pipeline.check_scores()
    numbers = np.array([[score[name] for name in PROPENSITIES] for score in scores.values()])
    assert (numbers.std(axis=0) > 1e-4).all()


def _damaged_records() -> list[tuple[str, bytes, bytes | None]]:
    def event(**changes: object) -> bytes:
        return json.dumps({name: value for name, value in (EVENT | changes).items() if value != "absent"}).encode()

    long_id = "x" * 10_240
    nested = b'{"event_id":"e","user_id":"u","type":"view","ts":1700000000000,"context":' + b"[" * 1000 + b"]" * 1000
    return [
        ("json", b"u", b"\x00\x01 no json"),
        ("json", b"u", event()[:-5]),
        ("json", b"u", event() + event()),
        ("object", b"u", b"[1, 2]"),
        ("object", b"u", b'"text"'),
        *((field, b"u", event(**{field: "absent"})) for field in ("user_id", "event_id", "type", "ts")),
        *((field, b"u", event(**{field: ""})) for field in ("user_id", "event_id", "type", "ts")),
        *((field, b"u", event(**{field: None})) for field in ("user_id", "event_id", "type", "ts")),
        ("key", b"another", event()),
        ("ts", b"u", event(ts=float("nan"))),
        ("ts", b"u", event(ts=-1)),
        ("ts", b"u", event(ts=32_503_680_000_000)),
        ("ts", b"u", event(ts="yesterday")),
        ("price", b"u", event(price="12.50")),
        ("price", b"u", event(price=-1)),
        ("price", b"u", event(price=float("nan"))),
        ("user_id", long_id.encode(), event(user_id=long_id)),
        ("nesting", b"u", nested + b"}"),
        ("encoding", b"u", event().replace(b'"view"', b'"vi\xff"')),
        ("encoding", b"u", event(text="?").replace(b"?", b"\xc3")),
        ("tombstone", b"u", None),
        ("empty", b"u", b""),
    ]
