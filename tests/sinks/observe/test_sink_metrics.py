"""What the sink tells Prometheus."""

from types import SimpleNamespace

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.liveness import Liveness
from service.metrics import Declaration
from sinks.observe import metrics
from sinks.observe.lag import PartitionLag
from sinks.observe.metrics import COUNTERS, DECLARED, HISTOGRAMS, sink_metrics
from sinks.observe.progress import SinkCounts
from sinks.observe.samples import CalibrationSample, Disk, Drift


def part(*, stored=0, waiting=False, clock=lambda: 0.0):
    counts = SinkCounts()
    counts.stored = stored
    return SimpleNamespace(counts=counts, waiting=waiting, liveness=Liveness(clock))


def samples(registry):
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_a_scrape_reads_the_parts_and_the_last_sample_of_lag():
    sample = []
    parts = {"scores": part(stored=5), "dead letters": part(waiting=True)}
    registry = sink_metrics(parts, lambda: sample)
    sample.append(PartitionLag("shop", "shop.events", 3, 10, 14, 4))
    found = samples(registry)
    assert found["cartcast_sink_stored_total", "scores"] == 5
    assert found["cartcast_sink_stored_total", "dead letters"] == 0
    assert found["cartcast_sink_waiting", "scores"] == 0
    assert found["cartcast_sink_waiting", "dead letters"] == 1
    assert found["cartcast_consumer_lag", "shop", "3", "shop.events"] == 4


def test_a_block_is_counted_with_its_rows_and_the_time_of_its_insert():
    scores = part()
    scores.counts.settled(stored=600, repeats=5, dead_letters=1)
    scores.counts.settled(stored=20, repeats=0, dead_letters=0)
    scores.counts.insert_seconds.add(0.2)
    found = samples(sink_metrics({"scores": scores}))
    assert found["cartcast_sink_blocks_total", "scores"] == 2
    assert found["cartcast_sink_stored_total", "scores"] == 620
    rows = {bound: found["cartcast_sink_block_rows_bucket", bound, "scores"] for bound in ("10.0", "100.0", "+Inf")}
    assert rows == {"10.0": 0, "100.0": 1, "+Inf": 2}
    assert found["cartcast_sink_block_rows_sum", "scores"] == 620
    assert found["cartcast_sink_insert_seconds_bucket", "0.1", "scores"] == 0
    assert found["cartcast_sink_insert_seconds_bucket", "0.25", "scores"] == 1
    assert found["cartcast_sink_insert_seconds_count", "scores"] == 1


def test_the_age_of_a_commit_is_that_of_now():
    now = [100.0]
    scores = part(clock=lambda: now[0])
    scores.liveness.taken(0, 1)
    now[0] += 7
    assert samples(sink_metrics({"scores": scores}))["cartcast_sink_commit_age_seconds", "scores"] == 7


def test_what_clickhouse_knows_is_shown_and_vanishes_with_the_sample():
    known = SimpleNamespace(
        disks=[Disk("default", 5, 20)],
        drift=[Drift("m1", "24h", 0.3)],
        calibration=[CalibrationSample("m1", "1h", 0.02, 900)],
    )
    registry = sink_metrics({}, samples=known)
    found = samples(registry)
    assert found["cartcast_clickhouse_disk_free_bytes", "default"] == 5
    assert found["cartcast_clickhouse_disk_total_bytes", "default"] == 20
    assert found["cartcast_score_psi", "24h", "m1"] == 0.3
    assert found["cartcast_calibration_error", "1h", "m1"] == 0.02
    assert found["cartcast_calibration_scores", "1h", "m1"] == 900
    known.disks, known.drift, known.calibration = [], [], []
    left = [name for name, *_ in samples(registry) if not name.startswith("process_")]
    assert left == ["cartcast_sink_forget_pending"]


def test_every_count_is_a_metric_and_every_metric_is_served():
    assert set(SinkCounts().__dict__) == COUNTERS.keys() | HISTOGRAMS.keys()
    declared = {(each.name, each.kind) for each in DECLARED}
    families = sink_metrics({"scores": part()}).collect()
    assert declared == {(each.name, each.type) for each in families if each.name.startswith("cartcast_")}
    assert {each for each in vars(metrics).values() if isinstance(each, Declaration)} <= set(DECLARED)
