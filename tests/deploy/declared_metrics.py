"""The metrics that the code declares, as queries of Prometheus name them."""

import re

from sinks.observe.metrics import DECLARED as SINK
from streams.observe.metrics import DECLARED as WORKER

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), "info": ("_info",)}
LABELS = {label for declared in (*WORKER, *SINK) for label in declared.labels} | {"job", "instance", "le"}
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
FUNCTIONS = {
    *("sum", "max", "min", "count", "by", "on", "and", "or", "unless", "rate", "increase", "deriv", "vector", "absent"),
    *("histogram_quantile", "min_over_time", "predict_linear"),
}


def samples() -> dict[str, set[str]]:
    """Return, by the name of a metric, the names of its samples."""
    return {
        declared.name: {declared.name + suffix for suffix in SUFFIXES[declared.kind]} for declared in (*WORKER, *SINK)
    }


def names_of_samples() -> set[str]:
    return set().union(*samples().values())


def strangers(expression: str, recorded: frozenset[str] | set[str] = frozenset()) -> set[str]:
    """Return the words of a query that are neither a metric of ours, nor recorded, nor a label or a function."""
    bare = re.sub(r'"[^"]*"|\$\w+|\[\w+\]|offset \w+', "", expression)
    return (
        set(re.findall(r"[a-z_][\w:]*", bare)) - names_of_samples() - PROCESS - LABELS - FUNCTIONS - {"up"} - recorded
    )
