"""OpenTelemetry spans of the worker, one a fetch; nothing of OpenTelemetry is imported while they are turned off."""

import random
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol

from service.errors import RefusedError
from streams.fetch import Fetch
from streams.observe.trace_context import is_sampled, parsed
from streams.settings import TraceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link
    from opentelemetry.trace import Span as OpenTelemetrySpan

SPAN_NAME: Final = "score fetch"
_SERVICE: Final = "cartcast-worker"
_MOST_LINKS: Final = 128
"""OpenTelemetry's own limit of links a span."""
_EXPORT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0


class Span(Protocol):
    """Something that has begun."""

    def end(self, failure: BaseException | None = None) -> None:
        """End it; with a failure its status is that of an error, which names the failure's type."""


class Spans(Protocol):
    """Makes spans."""

    def begin(self, fetch: Fetch) -> Span:
        """Begin the span of a fetch, which ends when its results are confirmed, or something fails."""

    def close(self) -> None:
        """Send what has ended; takes two seconds at most."""


class _NoSpans:
    def begin(self, fetch: Fetch) -> Span:
        del fetch
        return self

    def end(self, failure: BaseException | None = None) -> None: ...

    def close(self) -> None: ...


NO_SPANS: Final[Spans] = _NoSpans()


def open_spans(settings: TraceSettings, exporter: "SpanExporter | None" = None) -> Spans:
    """Return what makes spans for the endpoint of the settings; raises RefusedError where OpenTelemetry is missing."""
    if not settings.endpoint:
        return NO_SPANS
    try:
        return FetchSpans(settings, exporter)
    except ImportError:
        raise RefusedError(
            "trace.endpoint is set, but OpenTelemetry is not installed: install cartcast[trace], "
            "or unset CARTCAST_TRACE__ENDPOINT"
        ) from None


class _FetchSpan:
    def __init__(self, span: "OpenTelemetrySpan") -> None:
        self._span = span

    def end(self, failure: BaseException | None = None) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        if failure is not None:
            self._span.set_status(StatusCode.ERROR, type(failure).__name__)
        self._span.end()


class FetchSpans:
    """A root span a fetch, linked to the sampled traces that its events are part of.

    A fetch with such an event always has one, of the others a share.
    """

    def __init__(self, settings: TraceSettings, exporter: "SpanExporter | None" = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - optional
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._share = settings.sample_ratio
        self._provider = TracerProvider(resource=Resource.create({"service.name": _SERVICE}), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter or OTLPSpanExporter(settings.endpoint, timeout=_EXPORT_SECONDS))
        )
        self._tracer = self._provider.get_tracer("cartcast")

    def begin(self, fetch: Fetch) -> Span:
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        links = _links(fetch)
        if not links and random.random() >= self._share:
            return NO_SPANS.begin(fetch)
        return _FetchSpan(
            self._tracer.start_span(
                SPAN_NAME, context=Context(), kind=SpanKind.CONSUMER, links=links, attributes=_attributes(fetch)
            )
        )

    def close(self) -> None:
        closing = Thread(target=self._provider.shutdown, name="spans", daemon=True)  # may try for half a minute
        closing.start()
        closing.join(_CLOSE_SECONDS)


def _attributes(fetch: Fetch) -> dict[str, str | int]:
    """Describe a fetch as OpenTelemetry's conventions for messaging do; nothing of a shopper."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": fetch.topic,
        "messaging.destination.partition.id": str(fetch.partition),
        "messaging.kafka.offset": int(fetch.offsets[0]),
        "messaging.batch.message_count": len(fetch.values),
    }


def _links(fetch: Fetch) -> "list[Link]":
    from opentelemetry.trace import Link, SpanContext, TraceFlags  # noqa: PLC0415

    sampled = (headers[0][1] for headers in fetch.traces.values() if is_sampled(headers))
    contexts = (parsed(traceparent) for traceparent in islice(sampled, _MOST_LINKS))
    return [
        Link(SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags)))
        for trace, span, flags in filter(None, contexts)
    ]
