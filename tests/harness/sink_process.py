"""`cartcast sink` as a process of its own, scores to feed it, and what the table holds afterwards."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from cartcast.settings import Settings, load_settings
from model.level import SHIFT_FIELDS
from service.clickhouse import connect
from tests.harness.forked import ForkedProcess, command_script, piped
from tests.harness.records import score_fields
from tests.harness.waiting import DEADLINE_SECONDS, eventually

PRODUCER = {"acks": "all", "linger.ms": 5, "message.max.bytes": 2_000_000}


def pipeline_settings(kafka: str, clickhouse: str, prefix: str, *, database: str = "", **sink: object) -> Settings:
    """Return settings for one test: its own topics, group and, if it was not lent one, database. Rows stay for ever."""
    return load_settings(
        kafka={"bootstrap_servers": kafka, "topic_prefix": prefix},
        clickhouse={"url": clickhouse, "database": database or prefix, "retention_days": 0},
        sink={"block_rows": 500, "block_seconds": 0.05, "session_timeout_seconds": 6.0} | sink,
    )


class SinkProcess:
    """One running sink, or a script that runs one; its log lines are read as they come."""

    def __init__(
        self,
        settings: Settings,
        *,
        instance_id: str | None = None,
        password: str = "",
        environment: dict[str, str] | None = None,
        script: str = command_script(["sink", "--json"]),
    ) -> None:
        environment = (environment or {}) | {
            "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "CARTCAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
            "CARTCAST_CLICKHOUSE__URL": settings.clickhouse.url,
            "CARTCAST_CLICKHOUSE__DATABASE": settings.clickhouse.database,
            "CARTCAST_CLICKHOUSE__USER": settings.clickhouse.user,
            "CARTCAST_CLICKHOUSE__PASSWORD": password,
            "CARTCAST_SINK__SESSION_TIMEOUT_SECONDS": str(settings.sink.session_timeout_seconds),
            "CARTCAST_SINK__BLOCK_ROWS": str(settings.sink.block_rows),
            "CARTCAST_SINK__BLOCK_SECONDS": str(settings.sink.block_seconds),
            "CARTCAST_SINK__STALLED_SECONDS": str(settings.sink.stalled_seconds),
        }
        if instance_id:
            environment["CARTCAST_SINK__INSTANCE_ID"] = instance_id
        self.log: list[str] = []
        self._news = threading.Condition()
        (printed, stdout), (logged, stderr) = piped(), piped()
        self._stdout, self._stderr = os.fdopen(printed), os.fdopen(logged)
        self.process = ForkedProcess(script, environment, stdout=stdout, stderr=stderr)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def __enter__(self) -> "SinkProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read_log(self) -> None:
        for line in self._stderr:
            with self._news:
                self.log.append(line.rstrip())
                self._news.notify_all()

    def wait_for(self, event: str, part: str | None = None) -> dict[str, Any]:
        """Return the first log line with this event, of the scores' or of another part, once it is there."""
        with self._news:
            assert self._news.wait_for(lambda: self._said(event, part) is not None, DEADLINE_SECONDS), self.log
        return self._said(event, part) or {}

    def _said(self, event: str, part: str | None) -> dict[str, Any] | None:
        lines = [json.loads(line) for line in self.log if line.startswith("{")]
        return next((line for line in lines if line["event"] == event and line.get("part") == part), None)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self._finish()

    def stop(self) -> tuple[int, dict[str, Any]]:
        """Send SIGTERM; return the exit code and the object that the command prints."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return the exit code and the object that the command printed, if it did."""
        printed = self._finish()
        return self.process.wait(), json.loads(printed.splitlines()[-1]) if printed else {}

    def _finish(self) -> str:
        self.process.wait()
        self._reader.join()
        printed = "" if self._stdout.closed else self._stdout.read()
        self._stdout.close()
        self._stderr.close()
        return printed


@dataclass
class Scores:
    """Publishes scores to a partitioned topic as the worker does, and remembers what must be stored."""

    settings: Settings
    published: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    _events: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._producer = Producer(self.settings.kafka.client_config() | PRODUCER)

    def publish(self, partition: int, sources: range) -> None:
        """Publish the scores of these source offsets; twice the same offset is a repeat."""
        self.have_events(partition, sources.stop)
        for source in sources:
            row = score(self.settings.kafka.topics.events, partition, source)
            self.published[partition, source] = row
            self.send(partition, json.dumps(row).encode(), source, key=row["user_id"].encode())
        assert self._producer.flush() == 0

    def send(self, partition: int, value: bytes | None, source: int | None = None, *, key: bytes = b"key") -> None:
        """Send one record, with source coordinates if `source` is given."""
        topics = self.settings.kafka.topics
        headers = [
            ("topic", topics.events.encode()),
            ("partition", b"%d" % partition),
            ("offset", b"%d" % (source or 0)),
        ]
        given = headers if source is not None else None
        self._producer.produce(topics.scores, value, key, partition, headers=given)
        self._producer.poll(0)

    def have_events(self, partition: int, end: int) -> None:
        """Let the events be on their topic that scores come from; no score of any other is believed."""
        topic, known = self.settings.kafka.topics.events, self._events.get(partition, 0)
        for _ in range(known, end):
            self._producer.produce(topic, b"{}", b"u", partition)
            self._producer.poll(0)
        assert self._producer.flush() == 0
        self._events[partition] = max(known, end)

    def flush(self) -> None:
        assert self._producer.flush() == 0


def score(topic: str, partition: int, source: int) -> dict[str, Any]:
    return score_fields(
        partition,
        source,
        user_id=f"u{source % 97}",
        event_type="purchase" if source % 50 == 0 else "view",
        item_id=None if source % 3 else f"i{source % 11}",
        category=None if source % 5 else "shoes",
        channel=None if source % 2 else "app",
        price=None if source % 7 else source / 4,
        event_time=1_700_000_000_000 + source * 1000,
        propensity_1h=0.25,
        propensity_24h=source % 4 / 4,
        source_topic=topic,
        source_timestamp=1_764_000_000_000 + source - 5,
        scored_at=1_764_000_000_000 + source,
    )


class Stored:
    """What a stock client reads back, without FINAL."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings.clickhouse, database=settings.clickhouse.database)

    def count(self) -> int:
        return int(self._client.command("SELECT count() FROM scores"))

    def wait_for(self, rows: int) -> None:
        """Return when at least `rows` are there."""
        eventually(lambda: self.count() >= rows, f"{rows} rows", found=self.count)

    def rows(self) -> list[dict[str, Any]]:
        """Everything but the time of the insert."""
        every = "SELECT * EXCEPT stored_at FROM scores ORDER BY source_partition, source_offset"
        result = self._client.query(every)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def matches(self, scores: Scores) -> bool:
        """Whether every published score is one row, equal to it, and there is no other."""
        wanted = [
            {
                "quantity": None,
                "rating": None,
                "text": "",
                "anonymous_id": "",
                "shown": [],
                "shown_by": "",
                "placement": "",
                **dict.fromkeys(SHIFT_FIELDS, 0.0),
            }
            | row
            | {name: row[name] or "" for name in ("item_id", "category", "channel")}
            for _, row in sorted(scores.published.items())
        ]
        return self.rows() == wanted


def dead_letters(settings: Settings) -> list[tuple[bytes | None, dict[str, bytes]]]:
    """Return value and headers of every dead letter."""
    consumer = Consumer(settings.kafka.client_config() | {"group.id": "none", "enable.partition.eof": True})
    topic = settings.kafka.topics.dead_letters
    numbers = list(consumer.list_topics(topic).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    found, ended = [], 0
    while ended < len(numbers):
        message = consumer.poll(DEADLINE_SECONDS)
        if message.error():
            ended += 1
        else:
            found.append((message.value(), dict(message.headers())))
    consumer.close()
    return found


def lag(settings: Settings, partitions: int) -> int:
    """Return how many records the sinks' group has not committed."""
    group = f"{settings.kafka.topic_prefix}-sink"
    consumer = Consumer(settings.kafka.client_config() | {"group.id": group, "enable.auto.commit": False})
    topic = settings.kafka.topics.scores
    committed = consumer.committed([TopicPartition(topic, number) for number in range(partitions)])
    ends = [consumer.get_watermark_offsets(each)[1] for each in committed]
    consumer.close()
    return sum(end - max(each.offset, 0) for each, end in zip(committed, ends, strict=True))


class Engine:
    """A ClickHouse server of the test's own, to be killed and started again on the same port."""

    def __init__(self, directory: Path, port: int, *arguments: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "cartcast.local.clickhouse_server", "--path", str(directory)]
        self._command += ["--port", str(port), *arguments]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("ready")

    def kill(self) -> None:
        self.process.kill()
        self._close()

    def stop(self) -> int:
        self.process.terminate()
        self._close()
        return self.process.returncode

    def _close(self) -> None:
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
