"""What a worker lets others see of itself: all they need to run it, nothing of a shopper, no secret."""

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.level import Level, LevelFile, write_level_file
from streams.observe.counts import STAGES
from streams.observe.metrics import DECLARED
from tests.harness.pipeline import PARTITIONS, Pipeline, pipelines

pytestmark = pytest.mark.integration

TOKEN = "sesame-4711"  # noqa: S105 - of this test alone
SHOPPER, ITEM, WORDS, EVENT_ID = "zanzibar-shopper", "zanzibar-item", "zanzibar words", "zanzibar-event"
MARK = "zanzibar"
"""Is in everything that a shopper sends."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode()), ("tracestate", b"zanzibar=1")]
EVENT = {
    "event_id": EVENT_ID,
    "user_id": SHOPPER,
    "type": "review",
    "ts": 1_700_000_000_000,
    "item_id": ITEM,
    "category": f"{MARK} category",
    "text": WORDS,
    "context": {"device": f"{MARK} phone"},
}


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def collector() -> Iterator[tuple[str, list]]:
    """URL of an OTLP endpoint, and the spans that it was sent."""
    spans: list = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            spans.extend(span for each in sent.resource_spans for scope in each.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
        server.shutdown()


def bad_records() -> list[tuple[bytes | None, bytes | None]]:
    key, good = SHOPPER.encode(), json.dumps(EVENT).encode()
    changed = [
        {"user_id": ""},
        {"user_id": MARK * 300},
        {"event_id": None},
        {"type": [MARK]},
        {"ts": MARK},
        {"ts": f"2024-01-01T00:00:00Z{MARK}"},
        {"price": MARK},
        {"quantity": MARK},
        {"item_id": {MARK: MARK}},
        {"context": MARK},
        {"context": {MARK: [MARK]}},
    ]
    return [
        *((key, json.dumps(EVENT | change).encode()) for change in changed),
        (key, good[:-9]),
        (key, good + good),
        (key, f'"{MARK}"'.encode()),
        (key, MARK.encode()),
        (key, good.replace(b"words", b"w\xff")),
        (key, b'{"' + MARK.encode() + b'":' + b"[" * 2000 + b"]" * 2000 + b"}"),
        (f"{MARK} key".encode(), good),
        (None, good),
        (b"\xff" + key, good),
        (key, None),
        (key, b""),
    ]


def produce(pipeline: Pipeline) -> tuple[int, int]:
    """Send good events, one of them traced, and bad ones; returns how many of each."""
    bad = bad_records()
    producer = Producer({"bootstrap.servers": pipeline.kafka, "partitioner": "murmur2_random"})
    for number in range(30):
        event = json.dumps(EVENT | {"event_id": f"{EVENT_ID}-{number}", "ts": EVENT["ts"] + number}).encode()
        producer.produce(pipeline.topics.events, event, SHOPPER, headers=TRACED if number == 7 else None)
    for number, (key, value) in enumerate(bad):
        producer.produce(pipeline.topics.events, value, key, number % PARTITIONS)
    producer.produce(pipeline.topics.items, json.dumps({"item_id": ITEM, "price": MARK}).encode(), ITEM.encode())
    assert producer.flush() == 0
    return 30, len(bad)


def test_a_worker_shows_how_it_does_and_nothing_of_a_shopper(pipeline: Pipeline, collector: tuple[str, list]) -> None:
    endpoint, spans = collector
    checkpoint = Path(shutil.copytree(DEFAULT_CHECKPOINT, pipeline.directory / "checkpoint"))
    worker = pipeline.start_worker(
        CARTCAST_WORKER__CHECKPOINT=str(checkpoint),
        CARTCAST_LOG__LEVEL="debug",
        CARTCAST_WORKER__WEB_TOKEN=TOKEN,
        CARTCAST_WORKER__WEB_BIND="0.0.0.0",  # noqa: S104 - with a token
        CARTCAST_WORKER__WEB_HOST="127.0.0.1",
        CARTCAST_TRACE__ENDPOINT=endpoint,
    )
    pipeline.wait_until(worker.is_ready, "readiness")
    level = LevelFile(load_checkpoint(checkpoint).version, (Level(0, {"1h": 0.25}),))
    write_level_file(checkpoint, level)
    shift = b'cartcast_worker_level_shift{horizon="1h"} 0.25'
    pipeline.wait_until(lambda: shift in worker.ask("/metrics", TOKEN)[1], "the level")
    good, bad = produce(pipeline)
    pipeline.wait_for_scores(good)
    pipeline.wait_until(lambda: scraped(worker)["cartcast_worker_events_total"] == good + bad, "every record")
    pipeline.wait_until(lambda: scraped(worker)["cartcast_worker_commit_age_seconds"] == 0, "the commit")
    refusal = b'cartcast_worker_items_refused_total{reason="price"} 1.0'
    pipeline.wait_until(lambda: refusal in worker.ask("/metrics", TOKEN)[1], "the item that is refused")
    check_metrics(worker, good, bad)
    look_up_shoppers(worker)
    assert worker.stop() == 0

    (score,) = [one for one in pipeline.read(pipeline.topics.scores) if ("traceparent", TRACED[0][1]) in one.headers()]
    said = json.loads(score.value())
    assert (said["event_id"], said["shift_1h"], said["shift_24h"]) == (f"{EVENT_ID}-7", 0.25, 0.0)
    assert score.headers()[3:] == TRACED
    assert TRACE in {link.trace_id.hex() for span in spans for link in span.links}
    assert MARK not in str(spans)
    log = worker.log.read_text()
    assert [line for line in log.splitlines() if not isinstance(json.loads(line), dict)] == []
    for private in (MARK, MARK.title(), quote(SHOPPER), TOKEN, SHOPPER.encode().hex()):
        assert private not in log


def scraped(worker) -> dict[str, float]:
    """The samples without labels, by name."""
    status, page = worker.ask("/metrics", TOKEN)
    assert status == 200
    families = text_string_to_metric_families(page.decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def check_metrics(worker, good: int, bad: int) -> None:
    _, page = worker.ask("/metrics", TOKEN)
    families = {family.name: family for family in text_string_to_metric_families(page.decode())}
    for declared in DECLARED:
        assert families[declared.name + ("_info" if declared.kind == "info" else "")].samples, (
            f"{declared.name} has no samples"
        )
    letters = {each.labels["reason"]: each.value for each in families["cartcast_worker_dead_letters"].samples}
    values = scraped(worker)
    assert sum(letters.values()) == good + bad - values["cartcast_worker_scores_total"] - duplicates(values)
    assert values["cartcast_worker_event_to_score_seconds_count"] == values["cartcast_worker_scores_total"]
    stages = families["cartcast_worker_stage_seconds"].samples
    counts = {each.labels["stage"]: each.value for each in stages if each.name.endswith("_count")}
    assert set(counts) == set(STAGES)
    assert {stage for stage, count in counts.items() if not count} == {"recommend"}  # it is off
    assert (values["cartcast_worker_assigned_partitions"], values["cartcast_worker_ready"]) == (PARTITIONS, 1)
    assert values["cartcast_worker_commits_total"] >= 1
    lag = families["cartcast_worker_consumer_lag"].samples
    assert {int(each.labels["partition"]): each.value for each in lag} == dict.fromkeys(range(PARTITIONS), 0)


def duplicates(values: dict[str, float]) -> float:
    return values["cartcast_worker_duplicates_total"]


def look_up_shoppers(worker) -> None:
    """Ask for shoppers as a shop and as a stranger does."""
    path = f"/v1/users/{quote(SHOPPER)}"
    assert worker.ask(path, TOKEN)[0] == 200
    assert worker.ask(f"{path}/explanation", TOKEN)[0] == 200
    assert worker.ask(f"{path}/explanation?event_id={quote(EVENT_ID)}-none", TOKEN)[0] == 404
    assert worker.ask(f"/v1/users/{MARK}%FF", TOKEN)[0] == 400
    assert worker.ask(f"/{MARK}", TOKEN)[0] == 404
    assert worker.ask(path)[0] == worker.ask(path, "another")[0] == worker.ask("/metrics")[0] == 401
