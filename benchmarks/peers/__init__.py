"""The peers: programs that do the same job on the same topic, each a file of its own, as their documentation has them.

The job: read every event (JSON) of a topic from its beginning, keep 1,024 bytes of state a shopper that change with
each of their events, write a score (JSON, keyed by the shopper) to another topic with acks=all, and make states and
offsets durable once a second. The environment tells a program what to work on: BENCH_KAFKA, BENCH_EVENTS, BENCH_SCORES,
BENCH_CHANGELOG, BENCH_GROUP, BENCH_DIRECTORY, BENCH_PARTITIONS, BENCH_THREADS, BENCH_COMMIT_MS.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers.java import FLINK, FLINK_CONNECTOR_VERSION, KAFKA_STREAMS, java_command
from benchmarks.topics import PARTITIONS
from service.errors import LocalStackError

HERE: Final = Path(__file__).parent
QUIX_VERSION: Final = "3.28.1"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Peer:
    """One program; `command` fetches and compiles what it needs, or raises LocalStackError."""

    name: str
    how: str
    """What a reader must know of how it is run."""
    command: Callable[[Path, Report], list[str]]
    """Called with a folder for what is fetched."""
    processes: int = 1
    events_share: float = 1.0
    """How much of the topic it has to read: a slow one would take minutes."""


def _python(program: str) -> Callable[[Path, Report], list[str]]:
    return lambda _cache, _report: [sys.executable, str(HERE / f"{program}.py")]


def _faust(cache: Path, report: Report) -> list[str]:
    return [*_python("plain_faust")(cache, report), "worker", "--without-web", "--loglevel", "warn"]


def _flink(cache: Path, report: Report) -> list[str]:
    return java_command(FLINK, "FlinkJob", cache, report, ["--add-opens=java.base/java.util=ALL-UNNAMED"])


def _kafka_streams(cache: Path, report: Report) -> list[str]:
    return java_command(KAFKA_STREAMS, "KafkaStreamsJob", cache, report)


def _quix(cache: Path, report: Report) -> list[str]:
    """Quix Streams wants a confluent-kafka that is older than Cartcast's, hence an environment of its own."""
    pins = HERE / "quix_streams.txt"
    place = cache / f"quix-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    python, complete = place / "bin" / "python", place / "complete"
    if not complete.exists():
        report(f"installing Quix Streams {QUIX_VERSION} into {place}")
        uv = str(Path(sys.executable).with_name("uv"))
        for arguments in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, str(place)],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(pins)],
        ):
            done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                raise LocalStackError(f"Quix Streams cannot be installed: {' '.join(done.stderr.split())[:300]}")
        complete.touch()
    return [str(python), str(HERE / "quix_streams.py")]


CORES: Final = os.cpu_count() or 1
AT_ONCE: Final = min(CORES, PARTITIONS)
"""Threads or processes that a program is given; more would have no partition."""
PEERS: Final[Sequence[Peer]] = (
    Peer(
        "Raw copy",
        "confluent-kafka from Python; copies keys and values unread, keeps nothing",
        _python("raw_copy"),
    ),
    Peer(
        "Loop by hand",
        "confluent-kafka, orjson and a dict; changed states to a changelog topic, flush and commit once a second",
        _python("librdkafka_loop"),
    ),
    Peer(
        "Apache Flink",
        f"{FLINK.title}, Kafka connector {FLINK_CONNECTOR_VERSION}; a local environment with a slot a core, heap "
        "state, a checkpoint to the disk once a second, objects reused, sink at least once",
        _flink,
    ),
    Peer(
        "Kafka Streams",
        f"{KAFKA_STREAMS.title}; a thread a core, RocksDB with its cache, changelog, commit once a second, at least "
        "once",
        _kafka_streams,
    ),
    Peer(
        "Quix Streams",
        f"Quix Streams {QUIX_VERSION}; a process a core, RocksDB, changelog, commit once a second, at least once",
        _quix,
        processes=AT_ONCE,
    ),
    Peer(
        "Plain Faust",
        "faust-streaming as installed; a process a core, one agent, a table in memory with changelog, no linger (its "
        "default), commit once a second; a twentieth of the events",
        _faust,
        processes=AT_ONCE,
        events_share=0.05,
    ),
)
