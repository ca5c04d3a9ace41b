"""From a demand to numbers of processes, memory, disk and network, each with its arithmetic.

The formulas err on the large side: states are written as if every shopper were equally busy, disks are sized for the
busiest time's rate all day.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cartcast.sizing.coefficients import Coefficients
from cartcast.sizing.demand import Demand


@dataclass(frozen=True, slots=True)
class Line:
    """A number: `value` in `unit` (`bytes`, `bytes/s`, `cores`, `seconds`, or what is counted), and its arithmetic."""

    name: str
    value: float
    unit: str
    arithmetic: str


def size(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} PiB"


GIB: Final = 2**30
QUEUE_BYTES: Final = 256 * 2**20
"""Most that a worker's producer keeps while the brokers are away: `queue.buffering.max.kbytes`."""
LEAST_PARTITIONS: Final = 4
PARTITIONS_A_WORKER: Final = 2
"""The number of partitions stays as it is for a topic's life: room for as many workers again."""
RECORDS_A_STATE: Final = 2
"""What a restore reads of the changelog for one state: see COMPACTION."""


def worker_lines(demand: Demand, measured: Coefficients) -> Sequence[Line]:
    """Return how many workers, each one process and one core: as many as the rate or the states need."""
    cores, state = _cores(demand, measured), _state(demand, measured)
    base = measured.worker_base_bytes + QUEUE_BYTES
    room = demand.worker_memory_gib * GIB - base
    count = max(1, math.ceil(cores.value), math.ceil(state.value / room))
    reason = f"the larger of {cores.value:,.2f} cores and {size(state.value)} in {size(room)} each, rounded up"
    sums = f"({size(measured.worker_base_bytes)} + queue {size(QUEUE_BYTES)})"
    return [
        cores,
        state,
        Line("workers", count, "processes", reason),
        Line("worker_memory", base + state.value / count, "bytes", f"{sums} + {size(state.value)} / {count:,}"),
        Line("workers_memory", count * base + state.value, "bytes", f"{count:,} x {sums} + {size(state.value)}"),
        _partitions(count),
        _restore(demand, measured, count),
    ]


def _cores(demand: Demand, measured: Coefficients) -> Line:
    needed = demand.events_per_second * measured.worker_cpu_us_an_event / 1e6 * demand.headroom
    sums = f"{demand.events_per_second:,.10g}/s x {measured.worker_cpu_us_an_event:g} us x {demand.headroom:g}"
    return Line("worker_cores", needed, "cores", sums)


def _state(demand: Demand, measured: Coefficients) -> Line:
    each = measured.bytes_a_user_in_memory
    sums = f"{demand.users:,.0f} users x {each:,.10g} B x {demand.headroom:g}"
    return Line("state_memory", demand.users * each * demand.headroom, "bytes", sums)


def _partitions(workers: int) -> Line:
    count = max(LEAST_PARTITIONS, PARTITIONS_A_WORKER * workers)
    sums = f"{PARTITIONS_A_WORKER} x {workers:,} workers, at least {LEAST_PARTITIONS}"
    return Line("partitions", count, "of every topic", sums)


def _restore(demand: Demand, measured: Coefficients, workers: int) -> Line:
    each = RECORDS_A_STATE * measured.restore_cpu_us_a_record
    sums = f"{demand.users:,.0f} users / {workers:,} x {RECORDS_A_STATE} x {measured.restore_cpu_us_a_record:g} us"
    return Line("restore", demand.users / workers * each / 1e6, "seconds", sums)


def sink_lines(demand: Demand, measured: Coefficients) -> Sequence[Line]:
    """Return how many sinks, each one process and one core."""
    cores = demand.events_per_second * measured.sink_cpu_us_an_event / 1e6 * demand.headroom
    count = max(1, math.ceil(cores))
    sums = (
        f"{demand.events_per_second:,.10g}/s x {measured.sink_cpu_us_an_event:g} us x {demand.headroom:g}, rounded up"
    )
    memory = f"{count:,} x {size(measured.sink_bytes)}"
    return [
        Line("sinks", count, "processes", sums),
        Line("sinks_memory", count * measured.sink_bytes, "bytes", memory),
    ]


SEGMENT_BYTES: Final = 2**30
SEGMENT_SECONDS: Final = 7 * 86_400
"""Kafka's defaults of `segment.bytes` and `segment.ms`: a changelog partition's newest segment is not compacted."""
COMPACTION: Final = 2
"""Records that the changelog holds for a state: `min.cleanable.dirty.ratio` is a half."""
COMMIT_SECONDS: Final = 3.0
"""`worker.commit_interval_seconds`: a state is written once in it, however many events it had."""


def kafka_lines(demand: Demand, partitions: float, measured: Coefficients) -> Sequence[Line]:
    """Return changelog, topics of events and scores, network, and the brokers' CPU."""
    writes = _state_writes(demand)
    return [
        writes,
        _changelog(demand, partitions, writes.value, measured),
        _topic("events_disk", demand, measured.event_disk_bytes),
        _topic("scores_disk", demand, measured.score_disk_bytes),
        *_network(demand, writes.value, measured),
        _brokers(demand, measured),
    ]


def _state_writes(demand: Demand) -> Line:
    """If all shoppers are equally busy; the more unequal they are, the fewer differ within a commit."""
    users, events = demand.users, demand.events_per_second * COMMIT_SECONDS
    sums = f"{users:,.0f} x (1 - exp(-{events:,.10g} events / {users:,.0f})) in {COMMIT_SECONDS:g} s"
    return Line("state_writes", -users * math.expm1(-events / users) / COMMIT_SECONDS, "records/s", sums)


def _changelog(demand: Demand, partitions: float, writes: float, measured: Coefficients) -> Line:
    each, copies = measured.state_disk_bytes, demand.replication_factor
    newest = min(partitions * SEGMENT_BYTES, writes * SEGMENT_SECONDS * each)
    kept = demand.users * each * COMPACTION
    sums = f"({demand.users:,.0f} x {each:,.10g} B x {COMPACTION} + newest segments {size(newest)}) x {copies:g} copies"
    return Line("changelog_disk", (kept + newest) * copies, "bytes", sums)


def _topic(name: str, demand: Demand, each: float) -> Line:
    rate, hours, copies = demand.events_per_second, demand.retention_hours, demand.replication_factor
    sums = f"{rate:,.10g}/s x {hours:g} h x {each:,.10g} B x {copies:g} copies"
    return Line(name, rate * hours * 3600 * each * copies, "bytes", sums)


def _network(demand: Demand, writes: float, measured: Coefficients) -> Sequence[Line]:
    event, score, state = measured.event_disk_bytes, measured.score_disk_bytes, measured.state_disk_bytes
    rate, further = demand.events_per_second, demand.replication_factor - 1
    flow = f"{rate:,.10g}/s x ({event:,.10g} B event + {score:,.10g} B score)"
    written = rate * (event + score) + writes * state
    return [
        Line("kafka_written", written, "bytes/s", f"{flow} + {writes:,.0f}/s x {state:,.10g} B state"),
        Line("kafka_copied", written * further, "bytes/s", f"{size(written)}/s x {further:g} further copies"),
        Line("kafka_read", rate * (event + score), "bytes/s", f"workers and sinks: {flow}"),
    ]


def _brokers(demand: Demand, measured: Coefficients) -> Line:
    """Reckon a follower like a leader, which is more than it does."""
    each, copies = measured.broker_cpu_us_an_event, demand.replication_factor
    sums = f"{demand.events_per_second:,.10g}/s x {each:g} us x {demand.headroom:g} x {copies:g} copies"
    return Line("broker_cores", demand.events_per_second * each / 1e6 * demand.headroom * copies, "cores", sums)


def clickhouse_lines(demand: Demand, measured: Coefficients) -> Sequence[Line]:
    """Return rows, disk, network in, and CPU without the readers' queries."""
    rate, copies, spare = demand.events_per_second, demand.table_copies, demand.headroom
    rows, row = rate * 86_400 * demand.horizon_days, measured.row_disk_bytes
    score, each = measured.score_disk_bytes, measured.clickhouse_cpu_us_an_event
    times = f"x {spare:g} x {copies:g} copies"
    return [
        Line("table_rows", rows, "rows", f"{rate:,.10g}/s x 86,400 s x {demand.horizon_days:g} days"),
        Line("table_disk", rows * row * spare * copies, "bytes", f"{rows:,.0f} rows x {row:,.10g} B {times}"),
        Line(
            "clickhouse_written",
            rate * score * copies,
            "bytes/s",
            f"{rate:,.10g}/s x {score:,.10g} B x {copies:g} copies",
        ),
        Line("clickhouse_cores", rate * each / 1e6 * spare * copies, "cores", f"{rate:,.10g}/s x {each:g} us {times}"),
    ]


def plan(demand: Demand, measured: Coefficients) -> list[Line]:
    """Return the whole answer, in the order in which one number needs another."""
    workers = worker_lines(demand, measured)
    partitions = {line.name: line.value for line in workers}["partitions"]
    return [
        *workers,
        *sink_lines(demand, measured),
        *kafka_lines(demand, partitions, measured),
        *clickhouse_lines(demand, measured),
    ]
