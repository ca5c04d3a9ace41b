"""Workers and sinks: how many, and what memory they take."""

import math
from collections.abc import Sequence
from typing import Final

from cartcast.sizing.coefficients import Coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.line import Line, size

GIB: Final = 2**30
QUEUE_BYTES: Final = 256 * 2**20
"""Most that a worker's producer keeps while the brokers are away: `queue.buffering.max.kbytes`."""
LEAST_PARTITIONS: Final = 4
PARTITIONS_A_WORKER: Final = 2
"""The number of partitions stays as it is for a topic's life: room for as many workers again."""
RECORDS_A_STATE: Final = 2
"""What a restore reads of the changelog for one state: see `kafka.COMPACTION`."""


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
