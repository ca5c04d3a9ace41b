"""What one event, one user and one row cost: measured by `benchmarks/sizing.py`, kept beside this file."""

import json
from dataclasses import dataclass, fields
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Coefficients:
    """One run of the benchmark; costs are microseconds of CPU, sizes are bytes."""

    machine: str
    date: str
    command: str
    load_before: float
    """Load average of the machine before the run: what else it had to do."""
    worker_cpu_us_an_event: float
    sink_cpu_us_an_event: float
    broker_cpu_us_an_event: float
    """With one copy of every partition: events in and out, scores in and out, states in."""
    clickhouse_cpu_us_an_event: float
    """Insert and merges."""
    worker_base_bytes: float
    """A worker's memory without a single user."""
    sink_bytes: float
    """A sink's memory at full speed."""
    bytes_a_user_in_memory: float
    """State, key and place in the table."""
    event_disk_bytes: float
    """An event on its topic, compressed, with what Kafka keeps of it."""
    score_disk_bytes: float
    state_disk_bytes: float
    """A state in the changelog."""
    row_disk_bytes: float
    """A row of the table with all of its projections."""
    event_json_bytes: float
    restore_cpu_us_a_record: float
    """Reading one state back."""


def load_coefficients() -> Coefficients:
    """Return the coefficients that ship."""
    found = json.loads((files("cartcast.sizing") / "coefficients.json").read_text(encoding="utf-8"))
    return Coefficients(**{field.name: found[field.name] for field in fields(Coefficients)})
