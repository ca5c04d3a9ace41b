"""A Kafka cluster of three brokers on this machine, one of which is killed in mid-stream: no score lost, none doubled.

`.venv/bin/python -m tests.faults.three_brokers`; three brokers take 1.2 GB and a minute. Each
broker has a rack of its own, topics have three copies of which two must have a record, each worker names a rack.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.ports import LOOPBACK
from cartcast.local.processes import Child, Children
from service.kafka_settings import Topics
from streams.topic_configs import TopicRetention, differing_topics
from streams.topics import create_topics
from tests.harness.pipeline import PARTITIONS, Pipeline, pipelines, shoppers
from tests.harness.ports import new_port

BROKERS = 3
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"


@dataclass(frozen=True)
class Node(KafkaNode):
    """One of several; all are formatted with one cluster id."""

    def _format(self, children: Children) -> None:
        arguments = ["format", f"--cluster-id={CLUSTER_ID}", "--config", str(self._properties_path)]
        children.run("Kafka format", [*self._java(), "kafka.tools.StorageTool", *arguments], 120)


def nodes(directory: Path) -> list[Node]:
    """Return brokers that know each other, in a rack each."""
    ports = [(new_port(), new_port()) for _ in range(BROKERS)]
    voters = ",".join(f"{number + 1}@{LOOPBACK}:{control}" for number, (_, control) in enumerate(ports))
    jars = kafka_jars(default_cache(), print)
    return [
        Node(
            directory / f"broker-{number}",
            jars,
            port,
            control,
            properties={
                "node.id": number,
                "controller.quorum.voters": voters,
                "broker.rack": f"zone-{number}",
                "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
                "offsets.topic.replication.factor": 3,
                "broker.session.timeout.ms": 6000,
            },
        )
        for number, (port, control) in enumerate(ports, 1)
    ]


def kill_a_leader(pipeline: Pipeline, brokers: list[Child]) -> int:
    """Kill the broker that leads partition 0 of the events; return its number."""
    admin = AdminClient({"bootstrap.servers": pipeline.kafka})
    leader = admin.list_topics(timeout=10).topics[pipeline.topics.events].partitions[0].leader
    brokers[leader - 1].kill()
    return int(leader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=30_000)
    events = shoppers(parser.parse_args().events, users=2000, seed=9)
    distinct, half = len({event.event_id for event in events}), len(events) // 2
    with tempfile.TemporaryDirectory() as name, Children(Path(name) / "logs") as children:
        cluster = nodes(Path(name))
        brokers = [node.start(children) for node in cluster]
        for node, broker in zip(cluster, brokers, strict=True):
            node.wait_until_ready(broker)
        servers = ",".join(node.bootstrap_servers for node in cluster)
        config, topics = {"bootstrap.servers": servers}, Topics(prefix="three")
        create_topics(config, topics, partitions=PARTITIONS, replication_factor=3, retention=TopicRetention(2))
        assert differing_topics(config, topics, replication_factor=3, retention=TopicRetention(2)) == []
        for pipeline in pipelines(servers, topics.prefix, Path(name)):
            workers = [pipeline.start_worker(CARTCAST_KAFKA__CLIENT_RACK=f"zone-{number}") for number in (1, 2)]
            pipeline.produce(events[:half])
            pipeline.wait_for_scores(distinct // 6)
            began = time.monotonic()
            leader = kill_a_leader(pipeline, brokers)
            pipeline.produce(events[half:])
            pipeline.wait_for_scores(distinct)
            seconds = time.monotonic() - began
            scores = pipeline.check_scores()
            sys.stdout.write(
                f"broker {leader} of {BROKERS} killed after {distinct // 6:,} scores; all {len(scores):,} scores "
                f"{seconds:.1f} s later, each once and equal to an uninterrupted run's\n"
            )
            assert [worker.stop() for worker in workers] == [0, 0]


if __name__ == "__main__":
    main()
