"""`cartcast sink` and the engine killed in mid-stream; afterwards every score is one row, without FINAL."""

import random

import pytest

from sinks.schema.migrate import migrate
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine, Scores, SinkProcess, Stored, lag, pipeline_settings

PARTITIONS = 4
ROWS = 6_000
pytestmark = pytest.mark.integration


def with_topics(settings):
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1)
    return settings


@pytest.fixture
def settings(kafka, database, topic_prefix):
    return with_topics(pipeline_settings(kafka, database.url, topic_prefix, database=database.database))


def publish_with_repeats(scores, rng, rows):
    """Publish as a worker that is killed from time to time: it goes back some events and repeats their scores."""
    for partition in range(PARTITIONS):
        at = rows.start
        while at < rows.stop:
            until = min(at + rng.randrange(1, 3000), rows.stop)
            scores.publish(partition, range(at, until))
            at = until if until == rows.stop else max(until - rng.randrange(500), 0)


def test_a_sink_that_is_killed_again_and_again_stores_every_score_once(settings):
    rng = random.Random(4)
    scores, stored = Scores(settings), Stored(settings)
    publish_with_repeats(scores, rng, range(ROWS))
    for _ in range(5):
        with SinkProcess(settings, instance_id="sink-1") as sink:
            sink.wait_for("ready")
            stored.wait_for(min(stored.count() + rng.randrange(1, 4000), 3 * ROWS))
            sink.kill()
    with SinkProcess(settings, instance_id="sink-1") as sink:
        stored.wait_for(PARTITIONS * ROWS)
        assert sink.stop()[0] == 0
    assert stored.matches(scores)
    assert lag(settings, PARTITIONS) == 0


def test_an_engine_that_is_killed_again_and_again_holds_every_score_once(kafka, topic_prefix, tmp_path):
    engine = Engine(tmp_path / "engine", new_port())
    settings = with_topics(pipeline_settings(kafka, engine.url, topic_prefix))
    migrate(settings.clickhouse)
    rng = random.Random(5)
    scores, stored = Scores(settings), Stored(settings)
    publish_with_repeats(scores, rng, range(ROWS))
    with SinkProcess(settings) as sink:
        for _ in range(3):
            stored.wait_for(min(stored.count() + rng.randrange(1, 6000), 3 * ROWS))
            engine.kill()
            engine.start()
        stored.wait_for(PARTITIONS * ROWS)
        assert sink.stop()[0] == 0
        sink.wait_for("waiting")
        sink.wait_for("resumed")
    assert stored.matches(scores)
    assert lag(settings, PARTITIONS) == 0
    assert engine.stop() == 0


def test_two_sinks_share_the_partitions_while_one_leaves_and_one_is_killed(settings):
    rng = random.Random(6)
    scores, stored = Scores(settings), Stored(settings)
    third = ROWS // 3
    with SinkProcess(settings) as first:
        first.wait_for("ready")
        publish_with_repeats(scores, rng, range(third))
        with SinkProcess(settings) as leaving:
            leaving.wait_for("ready")
            publish_with_repeats(scores, rng, range(third, 2 * third))
            assert leaving.stop()[0] == 0
        with SinkProcess(settings) as last:
            last.wait_for("ready")
            publish_with_repeats(scores, rng, range(2 * third, ROWS))
            first.kill()
            stored.wait_for(PARTITIONS * ROWS)
            assert last.stop()[0] == 0
    assert stored.matches(scores)
    assert lag(settings, PARTITIONS) == 0


def test_two_sinks_under_one_instance_id_end_with_one_of_them_saying_so(settings):
    with SinkProcess(settings, instance_id="same") as first:
        first.wait_for("ready")
        with SinkProcess(settings, instance_id="same") as second:
            second.wait_for("ready")
            assert first.ended() == (1, {})
            assert second.stop()[0] == 0
    assert "sink.instance_id" in first.log[-1]
