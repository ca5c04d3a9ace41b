"""The stream worker on a real Kafka: every accepted event scored once, every damaged record a dead letter."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewPartitions

from model.events import Event, Score
from streams.records.compression import MOST_UNPACKED_BYTES
from tests.harness.command import run_command
from tests.harness.contract_schemas import check_scores_on_the_topic, validator
from tests.harness.pipeline import PARTITIONS, PROPENSITIES, Pipeline, WorkerProcess, pipelines, shoppers
from tests.harness.records import event_fields
from tests.harness.waiting import has_partitions

pytestmark = pytest.mark.integration

EVENT = event_fields()


@dataclass(frozen=True)
class Handled:
    """What one worker made of shopping, of damaged records amid good ones, of numbers as ids, and of one shopper."""

    pipeline: Pipeline
    events: list[Event]
    stopped: dict[str, Any]

    @cached_property
    def scores(self) -> dict[str, dict[str, Any]]:
        """By event, once they are found to be those of an uninterrupted run."""
        return {score["event_id"]: score for score in self.pipeline.check_scores().values()}


@pytest.fixture(scope="module")
def handled(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handled]:
    with contextmanager(pipelines)(kafka, f"t{token_hex(4)}", tmp_path_factory.mktemp("worker")) as pipeline:
        good = [(b"u", json.dumps(EVENT | {"event_id": f"good-{number}"}).encode()) for number in range(20)]
        pipeline.produce_raw(good[:10], partition=0)
        pipeline.produce_raw([(key, value) for _, key, value in _damaged_records()], partition=0)
        pipeline.produce_raw(good[10:], partition=0)
        pipeline.produce_raw([(b"42", json.dumps(EVENT | {"user_id": 42, "event_id": 7, "item_id": 99}).encode())])
        events = [*shoppers(3000, users=150, seed=1), *shoppers(400, users=1, seed=3)]
        pipeline.produce(events)
        worker = pipeline.start_worker()
        pipeline.wait_for_scores(len({event.event_id for event in events}) + len(good) + 1)
        letters = len(_damaged_records())
        pipeline.wait_until(lambda: pipeline.count(pipeline.topics.dead_letters) >= letters, "the dead letters")
        assert worker.stop() == 0
        yield Handled(pipeline, events, worker.events("stopped")[0])


def test_every_accepted_event_is_scored_once_and_duplicates_are_skipped(handled: Handled) -> None:
    distinct = {event.event_id for event in handled.events}
    assert handled.scores.keys() == distinct | {f"good-{number}" for number in range(20)} | {"7"}
    always = {field.name for field in msgspec.structs.fields(Score) if field.required}
    assert all(always <= set(score) <= set(Score.__struct_fields__) for score in handled.scores.values())
    check_scores_on_the_topic(handled.pipeline.read(handled.pipeline.topics.scores))
    assert handled.stopped["duplicates"] == len(handled.events) - len(distinct)


def test_every_damaged_record_is_a_dead_letter_that_says_why_and_where(handled: Handled) -> None:
    damaged, topics = _damaged_records(), handled.pipeline.topics
    letters = handled.pipeline.read(topics.dead_letters)
    assert [(letter.key(), letter.value()) for letter in letters] == [(key, value) for _, key, value in damaged]
    headers = [{name: value.decode() for name, value in letter.headers()} for letter in letters]
    assert [header["reason"] for header in headers] == [reason for reason, _, _ in damaged]
    assert [header["offset"] for header in headers] == [str(10 + number) for number in range(len(damaged))]
    assert {(header["topic"], header["partition"]) for header in headers} == {(topics.events, "0")}
    assert all(header["error"] and "\n" not in header["error"] for header in headers)
    for header in headers:
        validator("dead-letter-headers").validate(header)


def test_numbers_sent_as_ids_are_their_decimal_text(handled: Handled) -> None:
    score = handled.scores["7"]
    assert (score["user_id"], score["event_id"], score["item_id"]) == ("42", "7", "99")


def test_a_users_scores_move_with_what_the_user_does(handled: Handled) -> None:
    """Guards against a pipeline that scores every event from a blank state."""
    hers = [score for score in handled.scores.values() if score["user_id"] == "user-3-0"]
    numbers = np.array([[score[name] for name in PROPENSITIES] for score in hers])
    assert len(numbers) == 400
    assert (numbers.std(axis=0) > 1e-4).all()


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


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
        ("ts", b"u", event(ts=1_700_000_000)),  # seconds
        ("ts", b"u", event(ts=1_700_000_000_000_000)),
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


SEGMENT = {"CARTCAST_WORKER__INPUT_FORMAT": "segment"}


def test_a_score_that_the_broker_refuses_ends_the_worker_with_one_line_and_is_lost_to_none(pipeline: Pipeline) -> None:
    events = shoppers(600, users=40, seed=5)
    pipeline.limit_message_bytes(pipeline.topics.scores, 3000)
    pipeline.produce(events)
    worker = pipeline.start_worker()
    assert worker.process.wait() == 1
    lines = [line for line in worker.log.read_text().splitlines() if line and not line.startswith("{")]
    assert lines == [
        f"cartcast: Kafka did not take a record for {pipeline.topics.scores}: Broker: Message size too large"
    ]
    pipeline.workers.remove(worker)  # this one was meant to fail
    pipeline.limit_message_bytes(pipeline.topics.scores, 1_000_000)
    pipeline.start_worker()
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    pipeline.check_scores()


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


def test_partitions_added_to_the_live_events_topic_end_the_worker_with_what_to_do(pipeline: Pipeline) -> None:
    events = shoppers(300, users=40, seed=5)
    pipeline.produce(events)
    worker = pipeline.start_worker()
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    kafka, topics = {"bootstrap.servers": pipeline.kafka}, pipeline.topics
    more = PARTITIONS + 1
    admin = AdminClient(kafka)
    admin.create_partitions([NewPartitions(topics.events, more)])[topics.events].result()
    assert worker.process.wait() == 1
    pipeline.workers.remove(worker)  # this one was meant to fail
    (line,) = [line for line in worker.log.read_text().splitlines() if line and not line.startswith("{")]
    assert line.startswith(f"cartcast: topic {topics.events} has {more} partitions, but {topics.scores} {PARTITIONS}, ")
    assert f"run `cartcast topics create --partitions {more}`, which grows the others and deletes nothing" in line

    grown = run_command("topics", "create", "--partitions", more, environment=settings_of(pipeline))
    assert grown.status == 0, grown.stderr
    pipeline.produce_raw(
        [(b"new", json.dumps(EVENT | {"user_id": "new", "event_id": "n"}).encode())], partition=more - 1
    )
    pipeline.start_worker()
    pipeline.wait_until(lambda: pipeline.count(topics.scores, [more - 1]) == 1, "a score in the new partition")


@pytest.fixture
def stranger(pipeline: Pipeline) -> Iterator[Consumer]:
    """A consumer of somebody else in the workers' group."""
    stranger = Consumer({"bootstrap.servers": pipeline.kafka, "group.id": pipeline.topics.prefix})
    stranger.subscribe([pipeline.topics.events])
    pipeline.wait_until(lambda: has_partitions(stranger), "the stranger")
    yield stranger
    stranger.close()


def test_a_worker_that_its_group_refuses_joins_when_it_may(pipeline: Pipeline, stranger: Consumer) -> None:
    events = shoppers(300, users=40, seed=5)
    pipeline.produce(events)
    worker = pipeline.start_worker()
    pipeline.wait_until(lambda: bool(worker.events(REFUSED)), "the refusal")
    pipeline.wait_until(lambda: b"refused (InconsistentGroupProtocolError)" in worker.ask("/readyz")[1], "its reason")
    stranger.close()
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    pipeline.check_scores()
    assert worker.stop() == 0


def test_a_worker_that_its_group_goes_on_refusing_ends_and_says_why(pipeline: Pipeline, stranger: Consumer) -> None:
    worker = pipeline.start_worker(CARTCAST_WORKER__STALLED_SECONDS="8")  # longer than between two refusals
    assert worker.process.wait() == 1
    pipeline.workers.remove(worker)  # this one was meant to fail
    assert stranger.assignment()
    (line,) = last_words(worker)
    assert line == (
        f"cartcast: Kafka's consumer group {pipeline.topics.prefix} refused this worker for 8 seconds "
        "(InconsistentGroupProtocolError): another program has joined consumer group "
        f"{pipeline.topics.prefix}, which is the workers' alone: stop it or give it a group of its own "
        "(`cartcast doctor` names the group's members)"
    )


def test_of_two_workers_with_one_instance_id_the_first_is_told_and_ends(pipeline: Pipeline) -> None:
    events = shoppers(1200, users=60, seed=6)
    pipeline.produce(events[:600])
    first = pipeline.start_worker(CARTCAST_WORKER__INSTANCE_ID="wk-0")
    pipeline.wait_for_scores(len({event.event_id for event in events[:600]}))
    second = pipeline.start_worker(CARTCAST_WORKER__INSTANCE_ID="wk-0")
    assert first.process.wait() == 1
    pipeline.workers.remove(first)  # this one was meant to fail
    (line,) = last_words(first)
    assert line.startswith("cartcast: worker.instance_id wk-0 is used by another worker, which has taken this one's ")
    pipeline.produce(events[600:])
    pipeline.wait_for_scores(len({event.event_id for event in events}))
    pipeline.check_scores()
    assert second.stop() == 0


REFUSED = "refused by the consumer group, will ask again"


def last_words(worker: WorkerProcess) -> list[str]:
    """What a worker wrote that is no structured log line."""
    return [line for line in worker.log.read_text().splitlines() if line and not line.startswith("{")]


def settings_of(pipeline: Pipeline) -> dict[str, str]:
    return {
        "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": pipeline.kafka,
        "CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix,
    }


def test_segment_calls_are_scored_and_what_is_none_is_a_dead_letter(pipeline: Pipeline) -> None:
    pipeline.produce_raw([call(number) for number in range(20)])
    pipeline.produce_raw([call(20, type="group"), (b"u", json.dumps({"event_id": "e", "user_id": "u"}).encode())])
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


def test_records_too_large_for_a_letter_are_cut_ones_and_what_comes_behind_them_is_scored(pipeline: Pipeline) -> None:
    topics = pipeline.topics
    pipeline.limit_message_bytes(topics.events, 8_000_000)
    garbage, large, too_large = (
        np.random.default_rng(1).integers(128, 256, 950_000, np.uint8).tobytes(),
        bytes(5_000_000),
        bytes(MOST_UNPACKED_BYTES),
    )
    good = [(b"u", json.dumps(EVENT | {"event_id": f"good-{number}"}).encode()) for number in range(4)]
    pipeline.produce_raw(good[:1], 0)
    pipeline.produce_raw([(b"k" * 2000, garbage)], 0)
    pipeline.produce_raw(good[1:2], 0)
    for value in (large, too_large):
        pipeline.produce_raw([(b"u", value)], 0, compression_type="zstd", message_max_bytes=100_000_000)
    pipeline.produce_raw(good[2:3], 0)
    first = pipeline.start_worker()
    pipeline.wait_for_scores(3)
    pipeline.wait_until(lambda: pipeline.count(topics.dead_letters) == 3, "the dead letters")
    assert first.stop() == 0
    pipeline.produce_raw(good[3:], 0)
    second = pipeline.start_worker()
    pipeline.wait_for_scores(4)
    assert second.stop() == 0

    letters = pipeline.read(topics.dead_letters)
    headers = [{name: value.decode() for name, value in letter.headers()} for letter in letters]
    assert [(each["offset"], each["reason"]) for each in headers] == [
        ("1", "encoding"),
        ("3", "json"),
        ("4", "unpacked"),
    ]
    assert [each["bytes"] for each in headers[:2]] == ["950000", "5000000"]
    assert int(headers[2]["bytes"]) < 100_000
    assert headers[0]["sha256"] == sha256(garbage).hexdigest()
    assert (letters[0].key(), letters[0].value()) == (b"k" * 1000, garbage[:1000])
    for each in headers:
        validator("dead-letter-headers").validate(each)
    listed = run_command("dead-letters", "list", "--json", environment=settings_of(pipeline))
    assert json.loads(listed.stdout)["letters"] == 3
    replayed = run_command("dead-letters", "replay", "--dry-run", "--json", environment=settings_of(pipeline))
    assert json.loads(replayed.stdout)["cut"] == 3
