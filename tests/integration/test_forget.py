"""Shoppers who are forgotten under load, on a Kafka and an engine whose every byte is looked through afterwards."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from clickhouse_connect.driver.client import Client

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.processes import Children
from cartcast.settings import Settings
from model.events import Event
from service.clickhouse import connect
from service.kafka_settings import Topics
from sinks.schema.migrate import migrate
from tests.harness.command import Ended, run_command
from tests.harness.pipeline import PROPENSITIES, Pipeline, pipelines, shoppers
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine, SinkProcess, Stored, pipeline_settings
from tests.harness.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.integration

IMPATIENT = {
    "log.retention.check.interval.ms": 300,
    "log.cleaner.backoff.ms": 300,
    "log.segment.delete.delay.ms": 100,
}
"""A broker that deletes and compacts at once."""


@pytest.fixture
def kafka_node(tmp_path: Path) -> Iterator[KafkaNode]:
    node = KafkaNode(tmp_path / "kafka", kafka_jars(default_cache(), print), new_port(), new_port(), IMPATIENT)
    with Children(tmp_path / "logs") as children:
        node.wait_until_ready(node.start(children))
        yield node


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / "clickhouse", new_port())
    yield engine
    engine.stop()


@pytest.fixture
def settings(kafka_node: KafkaNode, engine: Engine, topic_prefix: str) -> Settings:
    settings = pipeline_settings(kafka_node.bootstrap_servers, engine.url, topic_prefix)
    migrate(settings.clickhouse)
    return settings


@pytest.fixture
def pipeline(kafka_node: KafkaNode, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka_node.bootstrap_servers, topic_prefix, tmp_path)


def command(settings: Settings, *arguments: object) -> Ended:
    environment = {
        "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "CARTCAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "CARTCAST_CLICKHOUSE__URL": settings.clickhouse.url,
        "CARTCAST_CLICKHOUSE__DATABASE": settings.clickhouse.database,
    }
    return run_command(*arguments, environment=environment)


def receipt_of(ended: Ended) -> dict[str, Any]:
    assert ended.status == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def files_with(directory: Path, texts: Sequence[str]) -> list[str]:
    """Files under a directory that hold one of the texts."""
    found = []
    for folder, _, names in os.walk(directory):
        for path in (Path(folder) / name for name in names):
            with suppress(OSError):  # deleted meanwhile
                content = path.read_bytes()
                found += [str(path)] * any(text.encode() in content for text in texts)
    return found


def rows_of(stored: Stored) -> dict[tuple[int, int], tuple[Any, ...]]:
    return {
        (row["source_partition"], row["source_offset"]): (row["user_id"], *(row[name] for name in PROPENSITIES))
        for row in stored.rows()
    }


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    yield client
    client.close_connections()


def test_who_is_forgotten_under_load_is_found_in_no_byte_and_the_others_are_as_they_were(
    pipeline: Pipeline, settings: Settings, tmp_path: Path, client: Client
) -> None:
    topics = pipeline.topics
    for topic in (topics.events, topics.scores, topics.dead_letters, topics.identity, topics.changelog):
        pipeline.configure(topic, {"compression.type": "uncompressed"})
    client.command("ALTER TABLE scores MODIFY COLUMN user_id CODEC(NONE)")
    events = shoppers(6000, users=200, seed=11)
    gone = ["user-11-0", "user-11-107", "user-11-131"]  # the first of them does much more than the others
    events[100:100] = before_a_login("anonymous-11", gone[-1])
    half = len(events) // 2
    workers = [pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50") for _ in range(2)]
    with SinkProcess(settings) as sink:
        stored = Stored(settings)
        pipeline.produce(events[:half])
        stored.wait_for(half // 2)
        assert files_with(tmp_path / "kafka", gone)
        assert files_with(tmp_path / "clickhouse", gone)
        pipeline.produce(events[half:])
        receipt = receipt_of(command(settings, "forget", *gone, "unknown-to-all", "--wait"))
        check_receipt(receipt, topics)
        gone.append("anonymous-11")
        status = json.loads(command(settings, "forget", "--status").stdout)
        assert (status["requests"], status["pending"]) == (5, {"states": 0, "rows": 0})
        asked = Request(workers[0].url("/v1/users/user-11-150"), method="DELETE")  # noqa: S310 - http://
        with urlopen(asked, timeout=DEADLINE_SECONDS) as answer:  # noqa: S310
            assert json.load(answer).keys() == {"request", "requested_at", "partition", "offset"}
        gone.append("user-11-150")
        eventually(lambda: "user-11-150" not in {user for user, *_ in rows_of(stored).values()}, "the rows' end")

        pipeline.produce(events)  # replayed: repeats of others, and refused of the forgotten
        others = {event.event_id for event in events if event.user_id not in gone}
        eventually(lambda: stored.count() >= len(others), "the others' rows", found=lambda: sink.log)
        assert workers[0].ask("/v1/users/user-11-107")[0] == 404
        assert [worker.stop() for worker in workers] == [0, 0]
        assert sink.stop()[0] == 0
    expected, rows = pipeline.expected(), rows_of(stored)
    assert (len(rows), {user for user, *_ in rows.values()} & set(gone)) == (len(others), set())
    for at, (_, *propensities) in rows.items():
        assert propensities == pytest.approx(expected[at].tolist(), abs=1e-4)
    letters = pipeline.read(topics.dead_letters)
    assert {(each.key(), each.value(), dict(each.headers())["reason"]) for each in letters} == {
        (None, None, b"forgotten")
    }
    let_the_deadline_pass(pipeline, client)
    last = pipeline.start_worker()
    seeds = count(1000)

    def are_gone() -> bool:
        pipeline.produce(shoppers(40, users=30, seed=next(seeds)))  # only where something happens anything is compacted
        return not files_with(tmp_path, gone)

    eventually(are_gone, "the end of every byte", found=lambda: files_with(tmp_path, gone))
    assert not any(name.encode() in last.ask("/metrics")[1] for name in gone)


def before_a_login(anonymous_id: str, user_id: str) -> list[Event]:
    """What somebody did before they logged in, and the login."""
    made = [Event(f"a-{number}", anonymous_id, "view", 1_700_000_000_000 + number, item_id="i") for number in range(5)]
    return [*made, Event("a-login", user_id, "view", 1_700_000_000_010, item_id="i", anonymous_id=anonymous_id)]


def check_receipt(receipt: dict[str, Any], topics: Topics) -> None:
    """It says that all is done, what was removed, and until when it is elsewhere."""
    assert (receipt["shoppers"], receipt["joined_anonymous_ids"], receipt["states"]["removed"]) == (4, 1, 4)
    found, deleted = receipt["rows"]["found"]["scores"], receipt["rows"]["deleted"]["scores"]
    assert deleted >= found > 0
    assert (receipt["states"]["pending_partitions"], receipt["rows"]["pending_partitions"]) == ([], [])
    until = {each["where"]: each["until"] for each in receipt["remains"]}
    for topic in (topics.events, topics.scores, topics.dead_letters, topics.changelog):
        assert until[f"topic {topic}"] > receipt["requested_at"]


def let_the_deadline_pass(pipeline: Pipeline, client: Client) -> None:
    """Have topics and table keep what they keep for no more than a moment."""
    topics = pipeline.topics
    for topic in (topics.events, topics.scores, topics.dead_letters, topics.identity):
        pipeline.configure(topic, {"segment.ms": 500, "retention.ms": 1000})
    compacted = {"segment.ms": 500, "max.compaction.lag.ms": 500, "delete.retention.ms": 100}
    pipeline.configure(topics.changelog, {**compacted, "min.cleanable.dirty.ratio": 0.001})
    soon = ("old_parts_lifetime", "cleanup_delay_period", "max_cleanup_delay_period")
    client.command("ALTER TABLE scores MODIFY SETTING " + ", ".join(f"{name} = 1" for name in soon))
