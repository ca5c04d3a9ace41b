"""`cartcast sink` stores dead letters as rows, on the real Kafka and the real ClickHouse engine."""

import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from service.clickhouse import connect
from sinks.schema.migrate import migrate
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine, Scores, SinkProcess, Stored, pipeline_settings
from tests.harness.waiting import DEADLINE_SECONDS, eventually

PARTITIONS = 3
pytestmark = pytest.mark.integration


def create(settings):
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1)


@pytest.fixture
def settings(kafka, database, topic_prefix):
    settings = pipeline_settings(kafka, database.url, topic_prefix, database=database.database)
    create(settings)
    return settings


class Letters:
    """The dead-letter topic as a worker fills it, and the table of them."""

    def __init__(self, settings):
        self._topics = settings.kafka.topics
        self._producer = Producer(settings.kafka.client_config() | {"acks": "all", "linger.ms": 5})
        self._settings = settings

    def publish(self, partition, offsets, reason=b"json"):
        for offset in offsets:
            headers = [("topic", self._topics.events.encode()), ("partition", b"%d" % partition)]
            headers += [("offset", b"%d" % offset), ("reason", reason), ("error", b"value: not an object")]
            self.send(partition, headers, b"?" * offset)
        self.flush()

    def send(self, partition, headers, value=b"?"):
        self._producer.produce(self._topics.dead_letters, value, b"key", partition, headers=headers)
        self._producer.poll(0)

    def flush(self):
        assert self._producer.flush() == 0

    def query(self, sql):
        client = connect(self._settings.clickhouse, database=self._settings.clickhouse.database)
        try:
            return client.query(sql).result_rows
        finally:
            client.close_connections()

    def wait_for(self, rows):
        def count():
            return self.query("SELECT count() FROM dead_letters FINAL")[0][0]

        eventually(lambda: count() >= rows, f"{rows} dead letters", found=count)


COORDINATES = (
    "SELECT source_partition, source_offset, reason, value_bytes FROM dead_letters FINAL "
    "ORDER BY source_topic, source_partition, source_offset"
)


def test_every_letter_is_one_row_also_if_it_comes_again(settings):
    letters, scores, stored = Letters(settings), Scores(settings), Stored(settings)
    for partition in range(PARTITIONS):
        letters.publish(partition, range(300))
        letters.publish(partition, range(250, 400))
    scores.publish(0, range(1000))
    with SinkProcess(settings) as sink:
        letters.wait_for(PARTITIONS * 400)
        stored.wait_for(1000)
        code, summary = sink.stop()
    assert (code, summary) == (0, {"stored": 1000, "repeats": 0, "dead_letters": 0})
    wanted = [(partition, offset, "json", offset) for partition in range(PARTITIONS) for offset in range(400)]
    assert letters.query(COORDINATES) == wanted
    ((first, last),) = letters.query("SELECT min(dead_at), max(dead_at) FROM dead_letters FINAL")
    assert time.time() - 300 < first.timestamp() <= last.timestamp() < time.time() + 60


def test_what_the_sink_itself_refuses_is_a_row_too(settings):
    letters, scores = Letters(settings), Scores(settings)
    scores.publish(1, range(20))
    scores.send(1, b"no json", 20)
    scores.flush()
    with SinkProcess(settings):
        letters.wait_for(1)
    assert letters.query("SELECT source_topic, source_partition, source_offset, reason, error FROM dead_letters") == [
        (settings.kafka.topics.scores, 1, 20, "stranger", "value: not one JSON object")
    ]


def test_letters_with_broken_headers_stop_nothing(settings):
    letters, scores, stored = Letters(settings), Scores(settings), Stored(settings)
    for headers in (None, [("topic", None)], [("topic", b"\xff"), ("partition", b"x")]):
        letters.send(2, headers)
    letters.publish(2, range(10))
    scores.publish(0, range(10))
    with SinkProcess(settings) as sink:
        letters.wait_for(13)
        stored.wait_for(10)
        assert sink.stop()[0] == 0
    broken = letters.query("SELECT source_topic, source_offset FROM dead_letters FINAL WHERE reason = 'headers'")
    assert sorted(broken) == [(settings.kafka.topics.dead_letters, offset) for offset in range(3)]


def test_a_killed_sinks_letters_are_stored_by_the_next(settings):
    letters = Letters(settings)
    letters.publish(0, range(1500))
    with SinkProcess(settings) as sink:
        letters.wait_for(1)
        letters.publish(0, range(1500, 3000))
        sink.kill()
    with SinkProcess(settings) as sink:
        letters.wait_for(3000)
        assert sink.stop()[0] == 0
    assert [offset for _, offset, _, _ in letters.query(COORDINATES)] == list(range(3000))


def test_two_sinks_share_the_letters(settings):
    letters = Letters(settings)
    with SinkProcess(settings) as first, SinkProcess(settings) as second:
        first.wait_for("ready", "dead letters")
        second.wait_for("ready", "dead letters")
        for partition in range(PARTITIONS):
            letters.publish(partition, range(200))
        letters.wait_for(PARTITIONS * 200)
        assert first.stop()[0] == 0
        letters.publish(0, range(200, 250))
        letters.wait_for(PARTITIONS * 200 + 50)
        assert second.stop()[0] == 0


def test_letters_wait_for_a_clickhouse_that_is_away(kafka, topic_prefix, tmp_path):
    engine = Engine(tmp_path / "engine", new_port())
    settings = pipeline_settings(kafka, engine.url, topic_prefix)
    create(settings)
    migrate(settings.clickhouse)
    engine.stop()
    letters = Letters(settings)
    letters.publish(0, range(500))
    with SinkProcess(settings) as sink:
        sink.wait_for("waiting", "dead letters")
        engine.start()
        letters.wait_for(500)
        engine.kill()
        letters.publish(1, range(500))
        engine.start()
        letters.wait_for(1000)
        assert sink.stop()[0] == 0
    assert engine.stop() == 0


def test_a_dead_letter_topic_that_is_missing_ends_the_sink_with_one_line(settings):
    topic = settings.kafka.topics.dead_letters
    admin = AdminClient(settings.kafka.client_config())  # must outlive its answer
    admin.delete_topics([topic], operation_timeout=DEADLINE_SECONDS)[topic].result()
    with SinkProcess(settings) as sink:
        assert sink.ended()[0] == 1
    assert [line for line in sink.log if not line.startswith("{")] == [
        f"cartcast: topic {topic} does not exist: run `cartcast topics create`"
    ]


def test_a_database_of_an_earlier_version_ends_the_sink_with_one_line(settings):
    letters = Letters(settings)
    letters.query("DROP TABLE dead_letters")
    with SinkProcess(settings) as sink:
        assert sink.ended()[0] == 1
    assert "lacks a table" in sink.log[-1]
    assert "cartcast migrate" in sink.log[-1]
