"""A sink whose Kafka client hangs ends itself, and who comes after it stores every row."""

import pytest

from streams.topics import create_topics
from tests.harness.forked import command_script
from tests.harness.sink_process import Scores, SinkProcess, Stored, pipeline_settings

pytestmark = pytest.mark.integration

PARTITIONS, ROWS = 2, 500
WATCHED = "import sinks.observe.watchdog; sinks.observe.watchdog.LOOK_SECONDS = 0.5; "
NEVER_RETURNS = """
import threading
from confluent_kafka import Consumer
class Hanging(Consumer):
    def get_watermark_offsets(self, partition, **options):
        if partition.topic.endswith(".scores"):
            threading.Event().wait()
        return super().get_watermark_offsets(partition, **options)
sinks.kafka.Consumer = Hanging
"""
HANDS_OUT_NOTHING = "import service.kafka; service.kafka.SIGN_OF_LIFE_MS = 0\n"
"""As a client whose own thread hangs, which librdkafka#5476 shows, reports nothing."""


@pytest.mark.parametrize("tampered", [NEVER_RETURNS, HANDS_OUT_NOTHING])
def test_a_sink_whose_client_hangs_ends_itself_and_no_row_is_lost(kafka, database, topic_prefix, tampered):
    settings = pipeline_settings(kafka, database.url, topic_prefix, database=database.database, stalled_seconds=1.0)
    create_topics(settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1)
    scores, stored = Scores(settings), Stored(settings)
    script = "import sinks.kafka; " + WATCHED + tampered + command_script(["sink", "--json"])
    hanging = SinkProcess(settings, script=script)
    assert hanging.ended()[0] == 1
    line = hanging.log[-1]
    assert line.startswith("cartcast: ")
    assert "not a turn for 1 seconds though Kafka and ClickHouse answer: this sink ends itself" in line
    assert any("most recent call first" in each for each in hanging.log)

    for partition in range(PARTITIONS):
        scores.publish(partition, range(ROWS))
    with SinkProcess(settings):
        stored.wait_for(PARTITIONS * ROWS)
    assert stored.matches(scores)
