"""What is asked of a pipeline, and which questions make no sense."""

import math
from dataclasses import dataclass, fields
from typing import Final

from service.errors import UsageError

LARGEST: Final = {
    "events_per_second": 1e7,
    "users": 1e10,
    "horizon_days": 36_500,
    "headroom": 10,
    "replication_factor": 10,
    "table_copies": 10,
    "retention_hours": 876_000,
    "worker_memory_gib": 4096,
}
SMALLEST: Final = {"users": 1, "headroom": 1, "replication_factor": 1, "table_copies": 1, "worker_memory_gib": 2}
"""Of the others anything above 0."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the pipeline must do; raises UsageError in one line for what it cannot mean."""

    events_per_second: float
    """Sustained at the busiest time."""
    users: float
    """Different shoppers whose states are kept."""
    horizon_days: float
    """Days that rows stay in the table."""
    headroom: float = 1.5
    """What there is, over what is needed: peaks, a worker less, merges."""
    replication_factor: float = 3
    """Copies of every Kafka partition."""
    table_copies: float = 2
    """Copies of every row: replicas of a ClickHouse shard."""
    retention_hours: float = 72
    """Hours that events and scores stay on their topics."""
    worker_memory_gib: float = 8
    """Memory that one worker may take."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, option = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            least, most = SMALLEST.get(field.name, 0), LARGEST[field.name]
            if not math.isfinite(value) or value < least or value <= 0 or value > most:
                bound = f"{least:,.10g}" if least else "more than 0"
                raise UsageError(f"{option} {value:g} makes no sense: give {bound} to {most:,.0f}")
