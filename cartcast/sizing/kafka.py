"""Kafka: what the topics take on disk, and what goes over the network."""

import math
from collections.abc import Sequence
from typing import Final

from cartcast.sizing.coefficients import Coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.line import Line, size

SEGMENT_BYTES: Final = 2**30
SEGMENT_SECONDS: Final = 7 * 86_400
"""Kafka's defaults of `segment.bytes` and `segment.ms`: a changelog partition's newest segment is not compacted."""
COMPACTION: Final = 2
"""Records that the changelog holds for a state: `min.cleanable.dirty.ratio` is a half."""
COMMIT_SECONDS: Final = 1.0
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
