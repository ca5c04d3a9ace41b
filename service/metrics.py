"""Prometheus metrics: how a process declares them, and how a scrape reads what its parts keep anyway."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Kind = Literal["counter", "gauge", "histogram", "info"]
Labels = tuple[str, ...]
"""Values of a metric's labels, in the order of its declaration."""


class Declaration(NamedTuple):
    """A metric as Prometheus knows it; a counter's name gets `_total` there. The help begins with the unit."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()


class Histogram:
    """How many values were at most each of some bounds; one thread adds, any thread reads."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the bounds, rising."""
        self.total = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def add_all(self, values: npt.NDArray[np.floating[Any]]) -> None:
        """Add many values for about the price of one."""
        found = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        for place in np.flatnonzero(found).tolist():
            self._counts[place] += int(found[place])
        self.total += float(values.sum())

    def buckets(self) -> list[tuple[str, int]]:
        """Return how many values were at most each bound, by the bound as Prometheus writes it; the last is `+Inf`."""
        bounds = [*(f"{float(bound)!r}" for bound in self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts.copy()), strict=True))


def sample(declared: Declaration, values: "Mapping[Labels, float] | float") -> "Metric":
    """Return a counter or gauge with its value, or with one value per combination of labels."""
    family = (CounterMetricFamily if declared.kind == "counter" else GaugeMetricFamily)(
        declared.name, declared.help, labels=declared.labels
    )
    for labels, value in ({(): values} if isinstance(values, int | float) else values).items():
        family.add_metric(labels, value)
    return family


def histogram(declared: Declaration, found: Mapping[Labels, Histogram]) -> "Metric":
    """Return a histogram with its buckets, one set per combination of labels."""
    family = HistogramMetricFamily(declared.name, declared.help, labels=declared.labels)
    for labels, each in found.items():
        family.add_metric(labels, each.buckets(), each.total)
    return family


def info(declared: Declaration, value: Mapping[str, str]) -> "Metric":
    """Return an info metric: the constant 1 with these labels."""
    return InfoMetricFamily(declared.name, declared.help, value=dict(value))


class _Collector(Collector):
    def __init__(self, collect: "Callable[[], Iterator[Metric]]") -> None:
        self._collect = collect

    def collect(self) -> "Iterator[Metric]":
        return self._collect()


def registry_of(collect: "Callable[[], Iterator[Metric]]") -> CollectorRegistry:
    """Return a registry that calls `collect` when it is scraped, beside the metrics of this process itself."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(collect))
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """Return the page that Prometheus scrapes and its content type, in the format that `accept` asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
