"""One running pipeline: servers, topics, a database, workers and sinks that are started again when they end."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from cartcast.settings import Settings
from model.events import Event
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.kafka_settings import Topics
from streams.partition_states import NOTE
from streams.topics import create_topics
from tests.harness.command import run_command
from tests.harness.forked import ForkedProcess, appending, command_script
from tests.harness.pipeline import PARTITIONS, PROPENSITIES, Coordinates, Pipeline, WorkerProcess
from tests.harness.sink_process import SinkProcess, pipeline_settings
from tests.harness.waiting import DEADLINE_SECONDS, eventually
from tests.soak.commits import Record, Snapshot
from tests.soak.history import CATALOGUE, History, Sent
from tests.soak.servers import Servers
from tests.soak.slots import Growth, Slot

SESSION_SECONDS = 6.0
STALLED_SECONDS = 60.0
"""After which a sink that hangs ends itself: longer than any network is impaired."""
COMPACTED = {"segment.ms": 1000, "min.cleanable.dirty.ratio": 0.001, "max.compaction.lag.ms": 1000}
OF_EVENT = ("user_id", "event_id", "event_type", "event_time", "item_id", "category", "price", "anonymous_id", "shown")
"""What scores and rows say of an event."""
ROW = ("source_partition", "source_offset", *OF_EVENT, *PROPENSITIES)
TRIGGERS = ("cart", "purchase")
RECOMMENDS = {"CARTCAST_RECOMMENDATIONS__EVENTS": ",".join(TRIGGERS), "CARTCAST_RECOMMENDATIONS__K": "3"}
"""Of workers and sinks."""
MEANT = ("service.errors.", "streams.fenced.", "asyncio.exceptions.CancelledError")
"""What a part of a worker may crash with: it ends with one line, or because another part ends."""


class World:
    """What faults happen to; everything random is drawn from `rng`."""

    def __init__(  # noqa: PLR0917 - all that there is
        self,
        servers: Servers,
        database: ClickHouseSettings,
        directory: Path,
        rng: Random,
        checkpoints: tuple[Path, Path],
        check: Callable[["World"], list[str]],
    ) -> None:
        self.servers = servers
        self.rng = rng
        self.directory = directory
        self.topics = Topics(prefix=directory.name)
        self.database = database
        self.partitions = PARTITIONS
        self.client_config = {"bootstrap.servers": servers.bootstrap_servers, "log_level": 0}
        self.pipeline = Pipeline(servers.bootstrap_servers, self.topics, directory)
        self.history = History(rng, directory.name)
        self.checkpoints = checkpoints
        """The first that workers run, and another."""
        self.notes: Counter[str] = Counter()
        self.problems: list[str] = []
        self._check = check
        self.earlier_events: dict[str, list[Event]] = {}
        """Whose rows were made from topics that are no more, by id, as often as there are rows."""
        self.asked: set[str] = set()
        """Who was to be forgotten."""
        self.gone: set[str] = set()
        """Who is: with them the devices that they have named."""
        self.named: dict[str, set[str]] = {}
        """Devices that users have named, at any time."""
        self.commands: list[Path] = []
        """What commands have printed."""
        self.worker_script: dict[str, str] = {}
        self.starved = False
        """Whether a process has been short of memory or files, which any line of it may say with a traceback."""
        self._static = rng.random() < 0.5
        self._sinks: list[SinkProcess] = []
        self.slots = {name: Slot(name, self._start_worker) for name in ("worker-0", "worker-1")}
        self.slots["worker-2"] = Slot("worker-2", self._start_worker, wanted=False)
        self.slots["sink-0"] = Slot("sink-0", self._start_sink)
        self.slots["sink-1"] = Slot("sink-1", self._start_sink, wanted=False)
        self._lock = threading.Lock()
        self._producer = Producer(
            {**self.client_config, "enable.idempotence": True, "linger.ms": 5, "partitioner": "murmur2_random"}
            | {"message.timeout.ms": 300_000}
        )
        self.begin()

    def begin(self) -> None:
        """Create the topics, on which there is nothing yet."""
        create_topics(self.client_config, self.topics, partitions=self.partitions, replication_factor=1)
        self.pipeline.configure(self.topics.changelog, COMPACTED)
        for item in CATALOGUE:
            self._producer.produce(self.topics.items, msgspec.json.encode(item), item.item_id)
        self.sent: list[Sent] = []
        self.forged: dict[Record, str] = {}
        """Records that a stranger wrote to the topics of results: reason of the letter about it, if any."""
        self.lost: set[Record] = set()
        """Records that were deleted before anybody could read them."""
        self.deleted_scores: list[Message] = []
        """As they were before they were deleted, lost or not."""
        self.snapshots: list[Snapshot] = []
        self.growths: list[Growth] = []
        self.gone_rows: dict[str, set[Coordinates]] = {}
        """The rows that there were when an id was found to be forgotten."""
        self.settled: dict[int, int] = {}
        """Up to which offset of each partition of the identity topic all was merged, once."""

    def check(self) -> None:
        """Let what does not hold now be among the problems."""
        self.problems += self._check(self)

    @property
    def every_topic(self) -> list[str]:
        names = self.topics
        return [names.events, *self.results, names.changelog, names.identity, names.items]

    @property
    def every_group(self) -> list[str]:
        return [self.worker_group, *(group for group, _ in self.results.values()), f"{self.sink_group}-forget"]

    # Processes.

    @property
    def workers(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.name.startswith("worker")]

    @property
    def sinks(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.name.startswith("sink")]

    def one_of(self, slots: Sequence[Slot]) -> Slot:
        """Return a slot whose process runs, if there is one."""
        return self.rng.choice([slot for slot in slots if slot.is_up and not slot.frozen] or list(slots))

    def supervise(self) -> None:
        for slot in self.slots.values():
            slot.supervise()

    def stop(self, slots: Sequence[Slot]) -> bool:
        """SIGTERM to all, and nothing starts them again; whether all have drained what they had begun."""
        for slot in slots:
            slot.wanted = False
            slot.terminate()
        drained = [slot.drained() for slot in slots]
        self.notes["processes that did not drain"] += drained.count(False)
        return all(drained)

    def close(self) -> None:
        for slot in self.slots.values():
            slot.kill()
        for number, sink in enumerate(self._sinks):
            (self.directory / f"sink-{number}.log").write_text("\n".join(sink.log))

    def _start_worker(self, name: str) -> WorkerProcess:
        environment = {
            "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": self.servers.bootstrap_of(name),
            "CARTCAST_WORKER__MAX_BATCH_EVENTS": str(self.rng.choice([20, 100, 5000])),
            "CARTCAST_WORKER__DRAIN_SECONDS": "10",
            **RECOMMENDS,
            **({"CARTCAST_WORKER__INSTANCE_ID": name} if self._static else {}),
            "CARTCAST_WORKER__CHECKPOINT": str(self.checkpoints[0]),
        }
        if script := self.worker_script.pop(name, ""):
            return self.pipeline.start_script(script, **environment)
        return self.pipeline.start_worker(**environment)

    def _start_sink(self, name: str) -> SinkProcess:
        settings = self.sink_settings(name)
        self._sinks.append(SinkProcess(settings, instance_id=name if self._static else None, environment=RECOMMENDS))
        return self._sinks[-1]

    def sink_settings(self, name: str) -> Settings:
        return pipeline_settings(
            self.servers.bootstrap_of(name),
            self.servers.clickhouse_url,
            self.topics.prefix,
            database=self.database.database,
            block_rows=100,
            stalled_seconds=STALLED_SECONDS,
            session_timeout_seconds=SESSION_SECONDS,
        )

    @property
    def reach(self) -> dict[str, str]:
        """What a command needs to reach both servers, past all faults of the network."""
        return {
            "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": self.servers.bootstrap_servers,
            "CARTCAST_KAFKA__TOPIC_PREFIX": self.topics.prefix,
            "CARTCAST_CLICKHOUSE__URL": self.servers.engine.url,
            "CARTCAST_CLICKHOUSE__DATABASE": self.database.database,
        }

    def start_command(self, *arguments: str) -> ForkedProcess:
        """Start a command of `cartcast`; what it prints goes to a file."""
        self.commands.append(self.directory / f"command-{len(self.commands)}.log")
        script, output = command_script(arguments), self.commands[-1]
        return ForkedProcess(script, self.reach, stdout=appending(output), stderr=appending(output))

    # Records.

    def send(self, records: Iterable[Sent], producer: Producer | None = None) -> None:
        """Queue records; Kafka's answer fills in where each lies."""
        producer = producer or self._producer
        with self._lock:
            for record in records:
                self.sent.append(record)
                record.is_settled = bool(self.settled)
                record.is_refused = record.key is not None and record.key.decode() in self.gone
                if record.event is not None and record.event.anonymous_id:
                    self.named.setdefault(record.event.user_id, set()).add(record.event.anonymous_id)
                producer.produce(self.topics.events, record.value, record.key, on_delivery=_noted(record))
                producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(DEADLINE_SECONDS) == 0, "the soak's own records were not taken"

    def forge(self, topic: str, value: bytes | None, reason: str = "", **fields: object) -> None:
        """Write a record as a stranger to a topic of results; `reason` as in `forged`."""

        def noted(error: object, message: Message) -> None:
            assert error is None, error
            self.forged[topic, message.partition(), message.offset()] = reason

        self._producer.produce(topic, value, on_delivery=noted, **fields)
        self._producer.poll(0)

    def lose(self, topic: str, kept: dict[int, int], read: dict[int, int]) -> None:
        """Note that records before the offsets `kept` are about to be deleted; those before `read` were read."""
        if topic == self.topics.scores:
            self.deleted_scores += [each for each in self.read(topic) if each.offset() < kept[each.partition()]]
        for number, offset in kept.items():
            self.lost |= {(topic, number, lost) for lost in range(read[number], offset)}

    def is_lost(self, record: Sent) -> bool:
        return (self.topics.events, record.partition, record.offset) in self.lost

    def has_moved(self, partition: int, key: bytes) -> bool:
        """Whether an id once had a state in this partition, and has it elsewhere now."""
        return any(growth.moves(partition, key) for growth in self.growths)

    def note_growth(self) -> None:
        """Find out whose state may have been empty when a record was scored."""
        for record in self.sent:
            record.begins_anew = record.key is not None and any(
                growth.moves(record.partition, record.key) and record.offset >= growth.committed[record.partition]
                for growth in self.growths
            )

    def read(self, topic: str) -> list[Message]:
        return self.pipeline.read(topic)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return first and end offset of each partition."""
        with consumer(self.client_config, "soak") as reader:
            return {
                number: reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                for number in range(self.partitions)
            }

    def ends(self, topic: str) -> dict[int, int]:
        return {number: end for number, (_, end) in self.bounds(topic).items()}

    def committed(self, group: str, topic: str, *, by_sinks: bool = False) -> dict[int, int]:
        """Return a group's offsets, 0 if there is none; `by_sinks`: only those whose metadata a sink has written."""
        with consumer(self.client_config, group) as reader:
            asked = [TopicPartition(topic, number) for number in range(self.partitions)]
            found = reader.committed(asked, timeout=10)
        return {each.partition: max(each.offset, 0) if each.metadata or not by_sinks else 0 for each in found}

    @property
    def worker_group(self) -> str:
        return self.topics.prefix

    @property
    def sink_group(self) -> str:
        return f"{self.topics.prefix}-sink"

    @property
    def results(self) -> dict[str, tuple[str, str]]:
        """Group and table of the sinks by topic of results."""
        names, group = self.topics, self.sink_group
        return {
            names.scores: (group, "scores"),
            names.dead_letters: (f"{group}-dead-letters", "dead_letters"),
            names.recommendations: (f"{group}-recommendations", "recommendations"),
        }

    def stored(self, table: str) -> set[Record]:
        """Return which records a table has a row of."""
        named = "''" if table == "dead_letters" else "event_id"
        sql = f"SELECT source_topic, source_partition, source_offset, {named} FROM {table}"  # noqa: S608
        return {row[:3] for row in self.query(sql) if row[3] not in self.earlier_events}

    def rows(self) -> list[tuple]:
        """Return what ClickHouse holds of the scores that are on the topic now: see ROW."""
        stored = self.query(f"SELECT {', '.join(ROW)} FROM scores")  # noqa: S608
        return [row for row in stored if row[ROW.index("event_id")] not in self.earlier_events]

    def note_earlier_events(self) -> None:
        """Remember what the rows are made from, before the topics are deleted."""
        events = {record.event.event_id: record.event for record in self.sent if record.event is not None}
        for row in self.rows():
            event = events[row[ROW.index("event_id")]]
            self.earlier_events.setdefault(event.event_id, []).append(event)

    def query(self, sql: str) -> list[tuple]:
        """Ask ClickHouse past the ways of the sinks."""
        own = self.database.model_copy(update={"url": self.servers.engine.url})
        client = connect(own, database=own.database)
        try:
            return client.query(sql).result_rows
        finally:
            client.close_connections()

    def take_snapshot(self) -> None:
        """Note what is committed, then what is there: what is committed must be."""
        if self.servers.down:
            return
        try:
            committed = {self.topics.events: self.committed(self.worker_group, self.topics.events)}
            for topic, (group, _) in self.results.items():
                committed[topic] = self.committed(group, topic, by_sinks=True)
            ends = {topic: self.ends(topic) for topic in self.results}
            rows = {topic: self.stored(table) for topic, (_, table) in self.results.items()}
        except Exception as failure:  # noqa: BLE001 - a server that is away has nothing to say
            self.notes[f"no snapshot: {type(failure).__name__}"] += 1
            return
        self.snapshots.append(Snapshot(committed, ends, rows))

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the structured log lines of all processes."""
        return [json.loads(line) for line in self._log() if line.startswith("{")]

    def tracebacks(self) -> list[str]:
        """Return the exceptions that nobody has caught, and those that a part of a worker crashed with by mistake."""
        lines = self._log() + [line for command in self.commands for line in command.read_text().splitlines()]
        begun = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
        found = [next((line for line in lines[number + 1 :] if line[:1].strip()), "?") for number in begun]
        told = [line.get("exception", "") for line in self.log_lines() if "Crashed reason" in line["event"]]
        crashed = [exception.splitlines()[-1] for exception in told if exception]
        return found + [last for last in crashed if not last.startswith(MEANT)]

    def _log(self) -> list[str]:
        workers = [line for worker in self.pipeline.workers for line in worker.log.read_text().splitlines()]
        return workers + [line for sink in self._sinks for line in sink.log]

    # Waiting.

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            self.supervise()
            return condition()

        eventually(holds, what, found=self.state)

    def wait_until_through(self) -> None:
        """Wait until workers and sinks have committed all that is on their topics."""
        self.flush()
        self.wait_until(lambda: self._lag(self.worker_group, self.topics.events) == 0, "the workers")
        for topic, (group, table) in self.results.items():
            self.wait_until(lambda group=group, topic=topic: self._lag(group, topic) == 0, f"the sinks' {table}")
        self.wait_until(self._is_joined, "the merges")
        self.wait_until(self._is_forgotten, "the rows of the forgotten")

    def states(self) -> dict[tuple[int, str], bytes]:
        """Return what the changelog holds of each id, by partition."""
        return {(number, key.decode()): value for (number, key), value in self.changelog().items() if key[:1] != NOTE}

    def changelog(self) -> dict[tuple[int, bytes], bytes]:
        """Return its latest values, of ids and of notes, by partition and key."""
        latest = {(each.partition(), each.key()): each.value() for each in self.read(self.topics.changelog)}
        return {place: value for place, value in latest.items() if value is not None}

    def _is_joined(self) -> bool:
        """Whether all that lies on the identity topic has been applied."""
        ends = {each.partition(): each.offset() + 1 for each in self.read(self.topics.identity)}
        notes = self.changelog()
        waits = any(key.startswith(NOTE + b"claimed ") for _, key in notes)
        positions = {number: int(notes.get((number, NOTE + b"position identity"), b"0")) for number in ends}
        return not waits and all(positions[number] >= end for number, end in ends.items())

    def _is_forgotten(self) -> bool:
        """Whether all that the forget topic asks for is done."""
        if self.asked:
            said = run_command("forget", "--status", environment=self.reach)
            return said.status == 0 and not any(json.loads(said.stdout)["pending"].values())
        return True

    def settle(self) -> None:
        """Note how far the identity topic has been merged; all that is sent from now on finds it so."""
        self.wait_until_through()
        self.settled = self.ends(self.topics.identity)
        self.history.names_devices = False

    def note_gone(self) -> None:
        """Find out whom the forget topic names."""
        digests = {message.key() for message in self.read(self.topics.forget)}
        users = {record.key.decode() for record in self.sent if record.event is not None and record.key is not None}
        known = self.asked | users | set().union(*self.named.values())
        found = {each for each in known if hashlib.sha256(each.encode()).hexdigest().encode() in digests} - self.gone
        there = {row[:2] for row in self.rows()}
        self.gone_rows |= dict.fromkeys(found, there)
        self.gone |= found

    def _lag(self, group: str, topic: str) -> int:
        """Return how many records are not committed; a transaction's marker is none."""
        try:
            committed, bounds = self.committed(group, topic), self.bounds(topic)
        except KafkaException:
            return -1
        behind = [number for number, (_, end) in bounds.items() if committed[number] < end]
        with consumer(self.client_config, "soak") as reader:
            return sum(_holds_records(reader, topic, number, committed[number]) for number in behind)

    def state(self) -> str:
        slots = {slot.name: (slot.is_up, slot.ended) for slot in self.slots.values()}
        lag = {
            topic: (self.committed(group, topic), self.bounds(topic))
            for group, topic in ((self.worker_group, self.topics.events), (self.sink_group, self.topics.scores))
        }
        return f"{slots} {lag}"


@contextmanager
def consumer(client_config: Mapping[str, Any], group: str) -> Iterator[Consumer]:
    """A consumer of a group that it never joins."""
    made = Consumer({**client_config, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        yield made
    finally:
        made.close()


def _holds_records(reader: Consumer, topic: str, partition: int, offset: int) -> bool:
    """Whether a partition has a committed record at or behind an offset."""
    reader.assign([TopicPartition(topic, partition, offset)])
    return any(message.error() is None for message in reader.consume(1, 2.0))


def _noted(record: Sent) -> Callable[[object, Message], None]:
    def noted(error: object, message: Message) -> None:
        assert error is None, error
        record.partition, record.offset = message.partition(), message.offset()
        record.sent_ms = message.timestamp()[1]

    return noted
