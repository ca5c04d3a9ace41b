"""`cartcast sink` samples how far the consumer groups are behind."""

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from service.clickhouse import connect
from service.errors import UnavailableError
from sinks.observe.lag import LagSampler, PartitionLag, lag_between
from sinks.schema.migrate import migrate
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Scores, SinkProcess, Stored, pipeline_settings
from tests.harness.waiting import eventually

PARTITIONS = 2
pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka, clickhouse, topic_prefix):
    settings = pipeline_settings(kafka, clickhouse, topic_prefix)
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1)
    migrate(settings.clickhouse)
    yield settings
    client = connect(settings.clickhouse)
    client.command(f"DROP DATABASE {settings.clickhouse.database}")
    client.close_connections()


def commit(settings, group, partition, offset):
    consumer = Consumer(settings.kafka.client_config() | {"group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(settings.kafka.topics.scores, partition, offset)], asynchronous=False)
    consumer.close()


def sample(settings, topics_by_group):
    sampler = LagSampler(settings.kafka.client_config(), topics_by_group)
    try:
        return sampler.sample()
    finally:
        sampler.close()


@pytest.mark.parametrize(
    ("first", "committed", "end", "lag"),
    [(0, -1, 10, 10), (4, -1, 10, 6), (4, 2, 10, 6), (0, 7, 10, 3), (0, 10, 10, 0), (0, 12, 10, 0), (0, -1, 0, 0)],
)
def test_lag_is_what_a_group_can_still_read(first, committed, end, lag):
    assert lag_between(first, committed, end) == lag


def test_a_sample_says_what_is_committed_and_what_is_there(settings):
    topic, group = settings.kafka.topics.scores, f"{settings.kafka.topic_prefix}-sink"
    Scores(settings).publish(1, range(30))
    commit(settings, group, 1, 12)
    assert sample(settings, {group: topic, "nobody": topic}) == [
        PartitionLag(group, topic, 0, -1, 0, 0),
        PartitionLag(group, topic, 1, 12, 30, 18),
        PartitionLag("nobody", topic, 0, -1, 0, 0),
        PartitionLag("nobody", topic, 1, -1, 30, 30),
    ]


def test_a_topic_that_does_not_exist_has_no_lag_and_is_not_made(settings):
    missing = f"{settings.kafka.topic_prefix}.missing"
    assert sample(settings, {"group": missing}) == []
    assert missing not in AdminClient(settings.kafka.client_config()).list_topics().topics


def test_a_kafka_that_is_away_is_a_failure_that_passes():
    sampler = LagSampler({"bootstrap.servers": f"127.0.0.1:{new_port()}"}, {"group": "topic"})
    with pytest.raises(UnavailableError, match="Kafka does not tell offsets"):
        sampler.sample()
    sampler.close()


def rows(settings):
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    found = client.query(
        "SELECT consumer_group, topic, partition, committed, end_offset, lag FROM consumer_lag "
        "WHERE at = (SELECT max(at) FROM consumer_lag) ORDER BY consumer_group, partition"
    ).result_rows
    client.close_connections()
    return found


def test_the_sink_stores_samples_of_every_group(settings):
    prefix, topics = settings.kafka.topic_prefix, settings.kafka.topics
    Scores(settings).publish(0, range(40))
    wanted = [
        *((prefix, topics.events, partition, -1, 0, 0) for partition in range(PARTITIONS)),
        (f"{prefix}-sink", topics.scores, 0, 40, 40, 0),
        (f"{prefix}-sink", topics.scores, 1, -1, 0, 0),
        *((f"{prefix}-sink-dead-letters", topics.dead_letters, partition, -1, 0, 0) for partition in range(PARTITIONS)),
    ]
    with SinkProcess(settings, environment={"CARTCAST_SINK__LAG_SECONDS": "0.2"}) as sink:
        eventually(lambda: rows(settings) == wanted, "the samples", found=lambda: rows(settings))
        assert sink.stop()[0] == 0


def test_a_failing_sample_is_told_once_and_stops_nothing(settings):
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    client.command("DROP TABLE consumer_lag")
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(0, range(100))
    with SinkProcess(settings, environment={"CARTCAST_SINK__LAG_SECONDS": "0.01"}) as sink:
        sink.wait_for("no consumer lag for now", "consumer lag")
        stored.wait_for(100)
        scores.publish(0, range(100, 200))
        stored.wait_for(200)
        assert sink.stop()[0] == 0
    assert sum("no consumer lag for now" in line for line in sink.log) == 1


def test_no_sample_is_taken_if_the_setting_says_so(settings):
    scores, stored = Scores(settings), Stored(settings)
    scores.publish(0, range(10))
    with SinkProcess(settings, environment={"CARTCAST_SINK__LAG_SECONDS": "0"}) as sink:
        stored.wait_for(10)
        assert sink.stop()[0] == 0
    assert rows(settings) == []
