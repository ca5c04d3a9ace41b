"""Runs `cartcast worker` as processes on the session's Kafka, and reads back what they wrote with stock clients."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import numpy as np
import torch
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource  # type: ignore[attr-defined]

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.core.append import Source
from model.core.decode import decode_events
from model.events import Event
from model.inference import Scorer
from model.scoring import finish, prepare_batch
from model.sequence import source_code
from model.states import StateCodec
from service.kafka_settings import Topics
from streams.topics import create_topics
from tests.harness.forked import ForkedProcess, appending, command_script
from tests.harness.ports import new_port
from tests.harness.waiting import DEADLINE_SECONDS, eventually

PARTITIONS = 4
DRAIN_SECONDS = "120"
"""Enough on any machine: who hangs in a drain is ended, and says where, before the limit that pytest has."""
PROPENSITIES = ("propensity_session", "propensity_1h", "propensity_24h")

Coordinates = tuple[int, int]
"""Source partition and offset."""


class WorkerProcess:
    """One `cartcast worker`, or a script that runs one; its log goes to a file."""

    def __init__(
        self,
        kafka: str,
        prefix: str,
        log: Path,
        environment: dict[str, str] | None = None,
        script: str = command_script(["worker"]),
    ) -> None:
        self.log = log
        environment = {
            "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "CARTCAST_KAFKA__TOPIC_PREFIX": prefix,
            "CARTCAST_WORKER__SESSION_TIMEOUT_SECONDS": "6",
            "CARTCAST_WORKER__COMMIT_INTERVAL_SECONDS": "0.5",
            "CARTCAST_WORKER__DRAIN_SECONDS": DRAIN_SECONDS,
            **(environment or {}),
        }
        self.process = ForkedProcess(script, environment, stdout=None, stderr=appending(log))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The structured log lines of that name."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def url(self, path: str) -> str:
        """Where one of its pages is, once it has begun."""
        return str(self.events("starting")[-1]["look_ups"]) + path

    def ask(self, path: str, token: str = "") -> tuple[int, bytes]:
        """Status and body of one of its pages; status 0 while nobody answers."""
        if not (starting := self.events("starting")):
            return 0, b""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            request = Request(starting[-1]["look_ups"] + path, headers=headers)  # noqa: S310 - http://
            with urlopen(request, timeout=DEADLINE_SECONDS) as answer:  # noqa: S310
                return answer.status, answer.read()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read()
        except OSError:
            return 0, b""

    def is_ready(self) -> bool:
        return self.ask("/readyz")[0] == 200

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


@dataclass
class Pipeline:
    """One set of topics with workers on it."""

    kafka: str
    topics: Topics
    directory: Path
    workers: list[WorkerProcess] = field(default_factory=list)
    partitions: int = PARTITIONS

    def start_worker(self, **environment: str) -> WorkerProcess:
        """Start a worker; does not wait for it."""
        return self._started(environment)

    def start_script(self, script: str, **environment: str) -> WorkerProcess:
        """Start a worker that a script has tampered with; does not wait for it."""
        return self._started(environment, script)

    def _started(self, environment: dict[str, str], *script: str) -> WorkerProcess:
        log = self.directory / f"worker-{len(self.workers)}.log"
        # A port that no other test gets: whoever asks a stopped worker must not meet another test's.
        environment = {"CARTCAST_WORKER__WEB_PORT": str(new_port()), **environment}
        self.workers.append(WorkerProcess(self.kafka, self.topics.prefix, log, environment, *script))
        return self.workers[-1]

    def produce(self, events: Sequence[Event]) -> None:
        """Send events as any producer with the Java partitioner would."""
        self.produce_raw([(event.user_id.encode(), msgspec.json.encode(event)) for event in events])

    def produce_raw(
        self,
        records: Sequence[tuple[bytes | None, bytes | None]],
        partition: int = -1,
        *,
        topic: str | None = None,
        **properties: Any,
    ) -> None:
        """Send records in one batch or more, with properties of librdkafka, whose dots are underscores.

        They go to the events topic if no other is named.
        """
        named = {name.replace("_", "."): value for name, value in properties.items()}
        producer = Producer({"bootstrap.servers": self.kafka, "partitioner": "murmur2_random", **named})
        for key, value in records:
            producer.produce(topic or self.topics.events, value, key, partition)
        assert producer.flush() == 0

    def recreate(self, topic: str) -> None:
        """Delete a topic and create it again."""
        config = {"bootstrap.servers": self.kafka}
        admin = AdminClient(config)
        admin.delete_topics([topic])[topic].result()
        self.wait_until(lambda: topic not in admin.list_topics().topics, "the deletion")
        create_topics(config, self.topics, partitions=PARTITIONS, replication_factor=1)

    def limit_message_bytes(self, topic: str, limit: int) -> None:
        """Make the broker refuse larger batches for a topic."""
        self.configure(topic, {"max.message.bytes": limit})

    def configure(self, topic: str, values: Mapping[str, object]) -> None:
        """Set some of a topic's settings."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        set_to = AlterConfigOpType.SET
        entries = [ConfigEntry(name, str(value), incremental_operation=set_to) for name, value in values.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        admin.incremental_alter_configs([resource])[resource].result()

    def read(self, topic: str) -> list[Message]:
        """Everything on a topic, by partition and offset."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "reader", "enable.partition.eof": True})
        messages: list[Message] = []
        try:
            for partition in range(self.partitions):
                consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
                messages.extend(_until_end(consumer))
        finally:
            consumer.close()
        return messages

    def scores(self) -> dict[Coordinates, dict[str, Any]]:
        """All scores by source coordinates; fails if one is there twice, or its headers say otherwise."""
        messages = self.read(self.topics.scores)
        scores = {}
        for message in messages:
            score = json.loads(message.value())
            headers = {name: value.decode() for name, value in message.headers()}
            coordinates = (score["source_partition"], score["source_offset"])
            assert headers == {
                "topic": self.topics.events,
                "partition": str(coordinates[0]),
                "offset": str(coordinates[1]),
            }
            assert message.partition() == coordinates[0]
            assert message.key().decode() == score["user_id"]
            scores[coordinates] = score
        assert len(scores) == len(messages), "a score is on the topic twice"
        return scores

    def count(self, topic: str, partitions: Sequence[int] = range(PARTITIONS)) -> int:
        """How many records a topic holds, in all partitions or in some."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "reader"})
        try:
            marks = [consumer.get_watermark_offsets(TopicPartition(topic, number)) for number in partitions]
        except KafkaException:  # a new topic's partitions have no leader yet
            return 0
        finally:
            consumer.close()
        return sum(high - low for low, high in marks)

    def wait_for_scores(self, count: int) -> None:
        """Wait until the scores topic holds at least that many records."""
        found = 0

        def has_come() -> bool:
            nonlocal found
            found = self.count(self.topics.scores)
            return found >= count

        self.wait_until(has_come, f"{count} scores", lambda: f"{found} have come\n")

    def wait_until(self, condition: Callable[[], bool], what: str, found: Callable[[], str] = lambda: "") -> None:
        def holds() -> bool:
            failed = any((worker.process.poll() or 0) > 0 for worker in self.workers)
            assert not failed, f"a worker failed during the wait for {what}:\n{self.logs()}"
            return condition()

        eventually(holds, what, found=lambda: found() + self.stacks())

    def logs(self) -> str:
        return "\n".join(f"{worker.log}:\n{worker.log.read_text()[-3000:]}" for worker in self.workers)

    def stacks(self) -> str:
        """Return what the workers do at this moment, and their logs."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGQUIT)
        time.sleep(1)  # for each to write it; one that hangs outside Python never does
        return "\n".join(f"{worker.log}:\n{worker.log.read_text()[-30_000:]}" for worker in self.workers)

    def expected(self) -> dict[Coordinates, np.ndarray]:
        """What one uninterrupted process scores, from the records that are on the events topic."""
        expected: dict[Coordinates, np.ndarray] = {}
        checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
        scorer = Scorer(checkpoint, torch.device("cpu"))
        codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
        records = self.read(self.topics.events)
        for partition in range(PARTITIONS):
            own = [record for record in records if record.partition() == partition]
            batch, _ = decode_events([record.value() for record in own], [record.key() for record in own])
            names, users = np.unique(np.array(batch.user_ids, object), return_inverse=True)
            states = codec.gather([None] * len(names))
            offsets = np.array([own[position].offset() for position in batch.positions])
            prepared = prepare_batch(states, users, batch, Source(source_code(self.topics.events), offsets))
            propensities = finish(states, prepared, scorer.score(prepared.request))
            for row, numbers in zip(prepared.appended.rows, propensities, strict=True):
                expected[partition, int(offsets[row])] = numbers
        return expected

    def check_scores(self) -> dict[Coordinates, dict[str, Any]]:
        """Every score is there once, none is too many, and each equals the uninterrupted run's to 1e-4."""
        scores, expected = self.scores(), self.expected()
        assert scores.keys() == expected.keys()
        for coordinates, numbers in expected.items():
            published = [scores[coordinates][name] for name in PROPENSITIES]
            np.testing.assert_allclose(published, numbers, atol=1e-4)
        return scores


def pipelines(kafka: str, prefix: str, directory: Path) -> Iterator[Pipeline]:
    """A pipeline with fresh topics; its workers are killed at the end."""
    topics = Topics(prefix=prefix)
    create_topics({"bootstrap.servers": kafka}, topics, partitions=PARTITIONS, replication_factor=1)
    pipeline = Pipeline(kafka, topics, directory)
    try:
        yield pipeline
    finally:
        sys.stdout.write(pipeline.logs())  # seen if the test fails
        for worker in pipeline.workers:
            worker.kill()


def shoppers(events: int, users: int, seed: int) -> list[Event]:
    """Some shopping, in time order, with one busy shopper and repeated events."""
    rng = np.random.default_rng(seed)
    types = rng.choice(
        ["view", "search", "favorite", "cart", "purchase", "review"], events, p=[0.7, 0.1, 0.05, 0.1, 0.03, 0.02]
    )
    names = rng.integers(0, users, events) * (rng.random(events) > 0.1)  # one event in ten is user 0's
    made = [
        Event(
            event_id=f"{seed}-{number}",
            user_id=f"user-{seed}-{names[number]}",
            type=str(types[number]),
            ts=1_700_000_000_000 + int(number * 40_000),
            item_id=f"item-{rng.integers(40)}",
            category=f"category-{rng.integers(6)}",
            price=float(rng.integers(1, 200)) if rng.random() < 0.8 else None,
        )
        for number in range(events)
    ]
    for number in rng.integers(1, events, events // 50):
        made.insert(int(number), made[int(number) - 1])
    return made


def _until_end(consumer: Consumer) -> Iterator[Message]:
    while True:
        for message in consumer.consume(10_000, 0.1):
            if message.error() is not None:
                return
            yield message


def tally(values: Sequence[str]) -> dict[str, int]:
    return dict(Counter(values))
