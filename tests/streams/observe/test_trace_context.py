"""Trace headers, from an event's record to its score's; and the spans of the worker."""

import asyncio
import threading
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from service.errors import RefusedError, UnavailableError
from streams.fetch import Fetch
from streams.observe.spans import NO_SPANS, FetchSpans, open_spans
from streams.observe.trace_context import is_sampled, parsed, trace_headers
from streams.pipeline import Pipeline
from streams.records.reader import read_batches, stored_batches
from streams.records.writer import OutputRecord, OutputRecords, record_batches
from streams.scoring import Scoring
from streams.settings import TraceSettings
from tests.streams.fetches import PARTITION, TOPICS, Acks, event, fetch, put

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
STATE = b"shop=1,other=b"


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([], ()),
        ([("other", b"x"), ("traceparent", PARENT)], (("traceparent", PARENT),)),
        ([("tracestate", STATE), ("traceparent", PARENT)], (("traceparent", PARENT), ("tracestate", STATE))),
        (
            [("tracestate", b"a=1"), ("traceparent", PARENT), ("tracestate", None), ("tracestate", b"b=2")],
            (("traceparent", PARENT), ("tracestate", b"a=1,b=2")),
        ),
        ([("traceparent", b"cc" + PARENT[2:] + b"-more")], (("traceparent", b"cc" + PARENT[2:] + b"-more"),)),
        ([("tracestate", STATE)], ()),
        ([("traceparent", PARENT), ("traceparent", PARENT)], ()),
        ([("traceparent", None)], ()),
        ([("traceparent", b"")], ()),
        ([("traceparent", PARENT + b"-more")], ()),
        ([("traceparent", PARENT.upper())], ()),
        ([("traceparent", b"ff" + PARENT[2:])], ()),
        ([("traceparent", PARENT.replace(TRACE.encode(), b"0" * 32))], ()),
        ([("traceparent", PARENT.replace(b"00f067aa0ba902b7", b"0" * 16))], ()),
        ([("traceparent", PARENT + b"\n")], ()),
        ([("traceparent", PARENT), ("tracestate", b"x" * 8193)], (("traceparent", PARENT),)),
    ],
)
def test_what_goes_on_is_what_the_recommendation_says(headers, kept):
    assert trace_headers(headers) == kept


def test_the_flags_say_whether_a_trace_is_recorded():
    assert is_sampled((("traceparent", PARENT),))
    assert not is_sampled((("traceparent", PARENT[:-1] + b"0"),))
    assert not is_sampled(())
    assert parsed(PARENT) == (int(TRACE, 16), 0x00F067AA0BA902B7, 1)


def fetch_of(*headers: list[tuple[str, bytes]] | None) -> Fetch:
    """A fetch of one event for each of the headers, from offset 5 on."""
    values = [event(number) for number in range(len(headers))]
    records = [OutputRecord(b"u", value, given) for value, given in zip(values, headers, strict=True)]
    (batch,) = record_batches(OutputRecords.of(records), 0)
    (stored,) = stored_batches(memoryview(batch._build()))
    return Fetch.of(TOPICS.events, PARTITION, read_batches([replace(stored, base_offset=5)]))


def traced() -> Fetch:
    return fetch_of(
        None,
        [("traceparent", PARENT), ("tracestate", STATE)],
        [("source", b"web")],
        [("traceparent", PARENT[:-2] + b"00")],
    )


async def test_a_score_has_the_trace_of_its_event_and_no_other(lane, pipeline):
    await put(lane, acks := Acks(), traced().since(6))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 3)
    assert [one.record.headers[3:] for one in pipeline.publisher.on(TOPICS.scores)] == [
        [("traceparent", PARENT), ("tracestate", STATE)],
        [],
        [("traceparent", PARENT[:-2] + b"00")],
    ]
    await lane.close()
    assert acks == [8]


def test_a_fetch_without_traces_keeps_none():
    assert fetch_of(None, [("source", b"web")]).traces == {}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def pipeline(pipeline, exporter) -> Pipeline:
    spans = open_spans(TraceSettings(endpoint="http://127.0.0.1:9/v1/traces", sample_ratio=0), exporter)
    object.__setattr__(pipeline, "spans", spans)
    return pipeline


async def test_a_fetch_of_a_sampled_trace_has_a_span_that_is_linked_to_it(lane, pipeline, exporter):
    await put(lane, Acks(), traced(), fetch(event(9), first_offset=9))
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 5)
    await lane.close()
    pipeline.spans.close()
    (span,) = exporter.get_finished_spans()  # the second fetch is part of no trace
    (link,) = span.links  # the last event's trace is not sampled
    assert f"{link.context.trace_id:032x}" == TRACE
    score = pipeline.publisher.on(TOPICS.scores)[1]
    assert score.headers["traceparent"].split(b"-")[1].decode() == TRACE
    assert span.parent is None
    assert span.attributes["messaging.kafka.offset"] == 5
    assert span.attributes["messaging.batch.message_count"] == 4
    assert "u" not in span.attributes.values()
    assert span.end_time > span.start_time


async def breaks_in_scoring(lane, _, monkeypatch) -> None:
    def fail(*_):
        raise RuntimeError("u")

    monkeypatch.setattr(Scoring, "score", fail)
    await put(lane, Acks(), traced())
    await asyncio.wait([lane._task])


async def breaks_while_a_lane_is_cancelled(lane, pipeline, monkeypatch) -> None:
    object.__setattr__(pipeline, "threads", None)
    reached, goes_on = threading.Event(), threading.Event()

    def wait(*_):
        reached.set()
        goes_on.wait()

    monkeypatch.setattr(Scoring, "score", wait)
    await put(lane, Acks(), traced())
    await asyncio.to_thread(reached.wait)
    lane._task.cancel()
    await asyncio.wait([lane._task])
    goes_on.set()


async def breaks_in_encoding(lane, _, monkeypatch) -> None:
    def fail(*_):
        raise ValueError("u")

    monkeypatch.setattr(Pipeline, "_unpublished", fail)
    await put(lane, Acks(), traced())
    await asyncio.wait([lane._task])


async def breaks_in_producing(lane, pipeline, monkeypatch) -> None:
    def fail(*_, **__):
        raise UnavailableError("u")

    monkeypatch.setattr(pipeline.publisher, "publish", fail)
    await put(lane, Acks(), traced())
    await asyncio.wait([lane._task])


async def breaks_in_delivery(lane, pipeline, _) -> None:
    pipeline.publisher.holds = True
    await put(lane, Acks(), traced())
    await pipeline.publisher.until(lambda: len(pipeline.publisher.on(TOPICS.scores)) == 4)
    await pipeline.publisher.fail()
    await lane.close()


FAILURES = {
    breaks_in_scoring: "RuntimeError",
    breaks_while_a_lane_is_cancelled: "CancelledError",
    breaks_in_encoding: "ValueError",
    breaks_in_producing: "UnavailableError",
    breaks_in_delivery: "RefusedError",
}


@pytest.mark.parametrize("breaks", FAILURES)
async def test_wherever_a_fetch_fails_its_span_ends_and_names_the_failure(
    lane, pipeline, exporter, monkeypatch, breaks
):
    await breaks(lane, pipeline, monkeypatch)
    pipeline.spans.close()
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, FAILURES[breaks])


def test_of_other_fetches_a_share_has_a_span(exporter):
    spans = FetchSpans(TraceSettings(endpoint="http://127.0.0.1:9/v1/traces", sample_ratio=1), exporter)
    spans.begin(fetch(event(1))).end()
    spans.close()
    assert len(exporter.get_finished_spans()) == 1


def test_without_an_endpoint_nothing_is_traced():
    assert open_spans(TraceSettings()) is NO_SPANS


def test_an_endpoint_without_the_library_is_one_line(monkeypatch):
    def missing(*_):
        raise ImportError

    monkeypatch.setattr(FetchSpans, "__init__", missing)
    with pytest.raises(RefusedError, match=r"install cartcast\[trace\], or unset CARTCAST_TRACE__ENDPOINT"):
        open_spans(TraceSettings(endpoint="http://collector:4318/v1/traces"))
