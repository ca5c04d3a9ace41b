"""Measures what `cartcast size` reckons with, and writes it to cartcast/sizing/coefficients.json.

`.venv/bin/python -m benchmarks.sizing` runs the whole pipeline once: real Kafka, one worker, one
sink, the ClickHouse engine, simulated events that wait for the worker. Costs are CPU time, which other work on the
machine disturbs less than wall time; sizes are those on the disk after the run.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.processes import below, cpu_name, every_process, started_here, usage_below
from cartcast.local.processes import PYTHON, Child, Children
from cartcast.local.stack import LocalStack, local_stack
from cartcast.settings import Settings, load_settings
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from service.clickhouse import connect
from sinks.schema.migrate import migrate
from streams.changelog import PartitionReader
from streams.topics import create_topics

PARTITIONS = 4
DEADLINE_SECONDS = 400
PATIENT = {
    "CARTCAST_WORKER__SESSION_TIMEOUT_SECONDS": "300",
    "CARTCAST_WORKER__STALLED_SECONDS": "0",
    "CARTCAST_SINK__SESSION_TIMEOUT_SECONDS": "300",
}
"""For processes that are stopped while the events are produced."""
MEASURED_STATES = 100_000
COEFFICIENTS = Path(__file__).parents[1] / "cartcast/sizing/coefficients.json"
COMMAND = ".venv/bin/python -m benchmarks.sizing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=COEFFICIENTS)
    arguments = parser.parse_args()
    measured = {"bytes_a_user_in_memory": memory_a_user()}
    with tempfile.TemporaryDirectory() as directory:
        measured |= run_pipeline(Path(directory), arguments.events, arguments.users)
    found = {
        "machine": f"{os.cpu_count()} cores of {cpu_name()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"{COMMAND} --events {arguments.events} --users {arguments.users}",
        "load_before": round(os.getloadavg()[0], 1),
        **{name: float(f"{value:.4g}") for name, value in measured.items()},
    }
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(arguments.out.read_text(encoding="utf-8"))


def memory_a_user() -> float:
    """Return the resident bytes that a user's state, key and place in the dict take."""
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    codec = checkpoint.codec
    before, held = resident_bytes(), dict[bytes, bytes]()
    for start in range(0, MEASURED_STATES, 1000):
        keys = [f"user-{number:09d}".encode() for number in range(start, start + 1000)]
        held.update(zip(keys, codec.scatter(codec.gather([None] * 1000)), strict=True))
    return (resident_bytes() - before) / len(held)


def resident_bytes() -> int:
    return every_process()[os.getpid()].resident_bytes


def run_pipeline(directory: Path, events: int, users: int) -> dict[str, float]:
    """Score and store `events` simulated events and return what that took."""
    history = directory / "shop.jsonl"
    run(["simulate", "--events", str(events), "--users", str(users), "--seed", "1", "--out", str(history)], {})
    with local_stack(directory / "stack", lambda _: None, preferred_ports=False) as stack:
        settings = load_settings(None, **stack.settings())
        create_topics(
            settings.kafka.client_config(), settings.kafka.topics, partitions=PARTITIONS, replication_factor=1
        )
        migrate(settings.clickhouse)
        with Children(directory / "logs") as children:
            environment = {**stack.environment(), **PATIENT}
            command = [*PYTHON, "-m", "cartcast"]
            processes = {name: children.start(name, [*command, name], environment) for name in ("worker", "sink")}
            roots = {name: child.pid for name, child in processes.items()}
            roots |= {"broker": started_here("kafka.Kafka"), "clickhouse": started_here("clickhouse_server")}
            wait_for_rows(settings, directory, stack, least=400, warm_up=True)
            before = cpu_seconds(roots)
            memory = {"worker_base_bytes": usage_below(roots["worker"]).memory_bytes}
            send_to(processes, signal.SIGSTOP)  # so that fetches and blocks are full, as they are where it matters
            run(["replay", str(history), "--format", "cartcast"], stack.environment())
            send_to(processes, signal.SIGCONT)
            rows = wait_for_rows(settings, directory, stack, least=events * 98 // 100)
            time.sleep(15)  # outcomes and merges that the last rows bring are part of the price
            used = {name: after - before[name] for name, after in cpu_seconds(roots).items()}
            memory["sink_bytes"] = usage_below(roots["sink"]).memory_bytes
        return {
            **{f"{name}_cpu_us_an_event": seconds / rows * 1e6 for name, seconds in used.items()},
            **memory,
            **sizes(settings, directory, rows, history),
        }


def send_to(processes: Mapping[str, Child], number: signal.Signals) -> None:
    for pid in below([child.pid for child in processes.values()], every_process()):
        os.kill(pid, number)


def run(arguments: list[str], environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "cartcast", *arguments]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)


def wait_for_rows(settings: Settings, directory: Path, stack: LocalStack, *, least: int, warm_up: bool = False) -> int:
    """Return how many rows there are when no more come, at least `least`; `warm_up` sends a few events first."""
    if warm_up:
        few = directory / "few.jsonl"
        run(["simulate", "--events", "500", "--users", "50", "--seed", "2", "--out", str(few)], {})
        run(["replay", str(few), "--format", "cartcast"], stack.environment())
    client, found, deadline = (
        connect(settings.clickhouse, database=settings.clickhouse.database),
        0,
        time.time() + DEADLINE_SECONDS,
    )
    while time.time() < deadline:
        stored = int(str(client.command("SELECT count() FROM scores")))
        if stored >= least and stored == found:
            client.close_connections()
            return stored
        found = stored
        time.sleep(5)
    raise SystemExit(f"{found} rows after {DEADLINE_SECONDS} s: see {directory}")


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds that each part has used so far."""
    return {name: usage_below(root).cpu_seconds for name, root in roots.items()}


def sizes(settings: Settings, directory: Path, rows: int, history: Path) -> dict[str, float]:
    """Return bytes an event, a score, a state and a row."""
    topics = settings.kafka.topics
    lines = history.read_bytes().splitlines()
    client = connect(settings.clickhouse, database=settings.clickhouse.database)
    client.command("OPTIMIZE TABLE scores FINAL")
    table = "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND database = currentDatabase()"
    found = {
        "event_json_bytes": sum(map(len, lines)) / len(lines),
        "event_disk_bytes": log_bytes(directory, topics.events) / len(lines),
        "score_disk_bytes": log_bytes(directory, topics.scores) / rows,
        "row_disk_bytes": float(str(client.command(f"{table} AND table = 'scores'"))),
        **changelog(settings, directory),
    }
    client.close_connections()
    return found


def changelog(settings: Settings, directory: Path) -> dict[str, float]:
    """Return the size of a state in the changelog, and how many a second one process restores."""
    topic, reader = settings.kafka.topics.changelog, PartitionReader(settings.kafka.client_config())
    records, began = 0, time.process_time()
    for partition in range(PARTITIONS):
        first, end = reader.bounds(topic, partition)
        reader.restore(topic, partition, lambda _read, _left: None)
        records += end - first
    used = time.process_time() - began
    reader.close()
    return {"state_disk_bytes": log_bytes(directory, topic) / records, "restore_cpu_us_a_record": used / records * 1e6}


def log_bytes(directory: Path, topic: str) -> int:
    partitions = (directory / "stack/kafka/data").glob(f"{topic}-[0-9]*")
    return sum(segment.stat().st_size for each in partitions for segment in each.glob("*.log"))


if __name__ == "__main__":
    main()
