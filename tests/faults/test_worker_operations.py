"""What docs/operations.md tells an operator of a worker whose Kafka goes away, and of one whose states are lost."""

import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.processes import Children
from model.events import Event
from tests.harness.pipeline import PARTITIONS, Pipeline, pipelines, shoppers
from tests.harness.ports import new_port

pytestmark = pytest.mark.integration
STALLED_SECONDS = 10
"""Longer than a busy machine takes to let a worker join its group, for which it has as long."""
a_pipeline = contextmanager(pipelines)


def distinct(events: list[Event]) -> int:
    return len({event.event_id for event in events})


def test_a_worker_waits_for_a_kafka_that_is_away_and_goes_on_by_itself(topic_prefix: str, tmp_path: Path) -> None:
    node = KafkaNode(tmp_path / "kafka", kafka_jars(default_cache(), print), new_port(), new_port())
    with Children(tmp_path / "logs") as children:
        broker = node.start(children)
        node.wait_until_ready(broker)
        with a_pipeline(node.bootstrap_servers, topic_prefix, tmp_path) as pipeline:
            events = shoppers(3000, users=100, seed=3)
            half = len(events) // 2
            worker = pipeline.start_worker(
                CARTCAST_WORKER__STALLED_SECONDS=str(STALLED_SECONDS), CARTCAST_WORKER__DRAIN_SECONDS="4"
            )
            pipeline.produce(events[:half])
            pipeline.wait_for_scores(distinct(events[:half]) // 2)
            broker.kill()
            away_since = time.monotonic()
            pipeline.wait_until(lambda: b'"kafka":"does not answer"' in worker.ask("/readyz")[1], "it to be told")
            assert worker.ask("/readyz")[0] == 503
            pipeline.wait_until(lambda: time.monotonic() > away_since + STALLED_SECONDS + 2, "a long outage")
            # a new process would do no better; it takes the watchdog's next look after it was told
            pipeline.wait_until(lambda: worker.ask("/livez")[0] == 200, "its being alive")
            broker = node.start(children)
            node.wait_until_ready(broker)
            assert worker.process.poll() is None
            pipeline.produce(events[half:])
            pipeline.wait_for_scores(distinct(events))
            pipeline.check_scores()
            pipeline.wait_until(worker.is_ready, "readiness")
            broker.kill()
            assert worker.stop() in {0, 1}  # whatever can be drained no more, it ends


def test_states_whose_changelog_is_lost_are_made_again_from_the_events_and_no_score_twice(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    with a_pipeline(kafka, topic_prefix, tmp_path) as pipeline:
        events = shoppers(3000, users=100, seed=4)
        half = len(events) // 2
        pipeline.produce(events[:half])
        first = pipeline.start_worker()
        pipeline.wait_for_scores(distinct(events[:half]))
        assert first.stop() == 0

        pipeline.recreate(pipeline.topics.changelog)
        _set_group_back(pipeline)
        second = pipeline.start_worker()
        pipeline.produce(events[half:])
        pipeline.wait_for_scores(distinct(events))
        pipeline.check_scores()
        assert second.stop() == 0


def _set_group_back(pipeline: Pipeline) -> None:
    """Do what `kafka-consumer-groups --reset-offsets --to-earliest --execute` does."""
    group = Consumer({"bootstrap.servers": pipeline.kafka, "group.id": pipeline.topics.prefix})
    group.commit(
        offsets=[TopicPartition(pipeline.topics.events, number, 0) for number in range(PARTITIONS)], asynchronous=False
    )
    group.close()
