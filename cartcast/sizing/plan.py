"""From a demand to numbers of processes, memory, disk and network, each with its arithmetic.

The formulas err on the large side: states are written as if every shopper were equally busy, disks are sized for the
busiest time's rate all day.
"""

from cartcast.sizing.clickhouse import clickhouse_lines
from cartcast.sizing.coefficients import Coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.kafka import kafka_lines
from cartcast.sizing.line import Line
from cartcast.sizing.processes import sink_lines, worker_lines


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
