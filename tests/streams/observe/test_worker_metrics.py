"""What the worker tells Prometheus."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Histogram, exposition
from streams.observe.counts import STAGES, Timings, WorkerCounts
from streams.observe.device_use import CpuUse, CudaUse, Use
from streams.observe.metrics import COUNTERS, DECLARED, Readings, worker_metrics
from streams.observe.restore import Restore
from tests.streams.fetches import START_MS, Acks, event, fetch, put


def samples(registry):
    page, content_type = exposition(registry)
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(page.decode())
    return {(each.name, *sorted(each.labels.values())): each.value for family in families for each in family.samples}


def test_a_scrape_reads_what_was_counted_until_then():
    counts = WorkerCounts()
    registry = worker_metrics(counts, model="lstm64-a")
    counts.events, counts.scored = 10, 7
    counts.dead_letters.update(["json", "json", 'a"b'])
    found = samples(registry)
    assert found["cartcast_worker_events_total",] == 10
    assert found["cartcast_worker_scores_total",] == 7
    assert found["cartcast_worker_dead_letters_total", "json"] == 2
    assert found["cartcast_worker_dead_letters_total", 'a"b'] == 1
    assert found["cartcast_worker_model_info", "lstm64-a"] == 1
    counts.events = 11
    assert samples(registry)["cartcast_worker_events_total",] == 11


def test_every_count_is_a_metric():
    assert set(COUNTERS) | {"dead_letters", "claims_refused"} == set(WorkerCounts().as_dict())


def test_every_metric_is_declared_and_served_with_its_type_and_labels():
    counts = WorkerCounts()
    readings = Readings(
        topic="t",
        lags=lambda: {0: 5},
        device=lambda: Use("cpu", 0.5, 1),
        items=lambda: {"catalogue": 1},
        items_refused=lambda: {"json": 1},
        shifts=lambda: {"1h": 0.25},
    )
    counts.dead_letters["json"] += 1
    counts.claims_refused["user"] += 1
    page, _ = exposition(worker_metrics(counts, model="m", readings=readings))
    served = {each.name: each for each in text_string_to_metric_families(page.decode())}
    ours = {name: family for name, family in served.items() if name.startswith("cartcast_")}
    names = {declared.name + ("_info" if declared.kind == "info" else ""): declared for declared in DECLARED}
    assert ours.keys() == names.keys()
    for name, declared in names.items():
        family = ours[name]
        assert family.type == ("gauge" if declared.kind == "info" else declared.kind), name
        assert family.documentation == declared.help
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(declared.labels), declared.name


def test_a_scrape_reads_the_readings():
    restore = Restore()
    restore.begin({0: 10, 1: 5})
    restore.progress(0)(7, 3)
    readings = Readings(
        topic="shop.events",
        restore=restore,
        lags=lambda: {3: 12},
        queue=lambda: (2048, 4),
        device=lambda: Use("cuda:0", 0.75, 10),
        shoppers=lambda: [5, 6],
        ready=lambda: True,
    )
    readings.liveness.committed({0: 5}, counts=True)
    found = samples(worker_metrics(WorkerCounts(), model="m", readings=readings))
    assert found["cartcast_worker_consumer_lag", "3", "shop.events"] == 12
    assert found["cartcast_worker_restore_records_total",] == 7
    assert found["cartcast_worker_restore_remaining_records",] == 8
    assert found["cartcast_worker_restoring",] == 1
    assert (found["cartcast_worker_queue_bytes",], found["cartcast_worker_queue_messages",]) == (2048, 4)
    assert found["cartcast_worker_device_utilisation_ratio", "cuda:0"] == 0.75
    assert found["cartcast_worker_device_memory_bytes", "cuda:0"] == 10
    assert (found["cartcast_worker_assigned_partitions",], found["cartcast_worker_shoppers",]) == (2, 11)
    assert (found["cartcast_worker_ready",], found["cartcast_worker_commits_total",]) == (1, 1)
    restore.end()
    assert samples(worker_metrics(WorkerCounts(), model="m", readings=readings))["cartcast_worker_restoring",] == 0


async def test_every_stage_of_a_fetch_is_timed_once(lane, pipeline):
    await put(lane, Acks(), fetch(event(1), event(2), b"no json"), fetch(event(3), first_offset=3))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 4)
    await lane.secure()
    await lane.close()
    timings = pipeline.timings
    counted = {stage: timings.stages[stage].buckets()[-1][1] for stage in STAGES}
    assert counted == dict.fromkeys(STAGES, 2) | {
        "fetch": 0,
        "changelog": 1,
        "recommend": 0,
    }  # the consumer times the first
    assert all(timings.stages[stage].total > 0 for stage in STAGES if counted[stage])
    assert (timings.batch_events.buckets()[-1][1], timings.batch_events.total) == (2, 3)
    delays = timings.event_to_score
    assert delays.buckets()[-1][1] == 3  # the damaged record has no score
    assert delays.total == 0  # Kafka's times lie after the test's clock


@pytest.fixture
def pipeline(pipeline):
    return replace(pipeline, timings=Timings())


async def test_the_delay_counts_from_kafkas_time_of_the_event(lane, pipeline):
    object.__setattr__(pipeline, "clock_ms", lambda: START_MS + 2000)
    await put(lane, Acks(), fetch(event(0), first_offset=0))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.produced) == 1)
    await lane.close()
    assert pipeline.timings.event_to_score.total == 2.0


@pytest.mark.parametrize("values", [[], [0.5], [1, 1, 2, 5, 10, 11, math.pi]])
def test_many_values_are_added_as_one_by_one(values):
    one_by_one, at_once = Histogram((1, 5, 10)), Histogram((1, 5, 10))
    for value in values:
        one_by_one.add(value)
    at_once.add_all(np.array(values, float))
    assert at_once.buckets() == one_by_one.buckets()
    assert at_once.total == pytest.approx(one_by_one.total)
    if len(values) == 7:
        assert one_by_one.buckets() == [("1.0", 2), ("5.0", 5), ("10.0", 6), ("+Inf", 7)]


def test_the_cpu_is_as_busy_as_this_process_was_since_the_last_reading(monkeypatch):
    monkeypatch.setattr("streams.observe.device_use._cores", lambda: 2)
    now, busy = iter([0.0, 10.0]), iter([1.0, 6.0])
    use = CpuUse(lambda: next(now), lambda: next(busy)).read()
    assert (use.device, use.utilisation) == ("cpu", 0.25)
    assert use.memory_bytes is None or use.memory_bytes > 10_000_000


def test_a_gpu_without_nvidias_library_tells_of_its_memory_alone(monkeypatch):
    def missing(_):
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setattr(torch.cuda, "utilization", missing)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (30, 100))
    assert CudaUse(torch.device("cuda:1")).read() == Use("cuda:1", None, 70)
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: 40)
    assert CudaUse(torch.device("cuda:1")).read().utilisation == 0.4
