"""The broker killed under a running sink."""

import random

import pytest

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.processes import Children
from streams.topics import create_topics
from tests.harness.ports import new_port
from tests.harness.sink_process import Scores, SinkProcess, Stored, lag, pipeline_settings

PARTITIONS = 2
ROWS = 4_000
pytestmark = pytest.mark.integration


def test_a_broker_that_is_killed_and_started_again_costs_no_row_and_doubles_none(database, topic_prefix, tmp_path):
    node = KafkaNode(tmp_path / "kafka", kafka_jars(default_cache(), print), new_port(), new_port())
    settings = pipeline_settings(node.bootstrap_servers, database.url, topic_prefix, database=database.database)
    with Children(tmp_path / "logs") as children:
        broker = node.start(children)
        node.wait_until_ready(broker)
        create_topics(
            settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1
        )
        scores, stored, rng = Scores(settings), Stored(settings), random.Random(7)
        with SinkProcess(settings) as sink:
            sink.wait_for("ready")
            for partition in range(PARTITIONS):
                scores.publish(partition, range(ROWS // 2))
            stored.wait_for(1)
            broker.kill()
            broker = node.start(children)
            node.wait_until_ready(broker)
            for partition in range(PARTITIONS):
                scores.publish(partition, range(ROWS // 2 - rng.randrange(300), ROWS))
            stored.wait_for(PARTITIONS * ROWS)
            assert sink.stop()[0] == 0
        assert len(sink.log) < 60
        assert stored.matches(scores)
        assert lag(settings, PARTITIONS) == 0
