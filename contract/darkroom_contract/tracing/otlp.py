"""Records spans with OpenTelemetry's SDK and sends them by OTLP over HTTP. Imported by `open_tracing` only.

Exporter, sampler, batches and resource are configured by the SDK's own environment variables. The provider is not made
the global one: libraries with spans of their own record none.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from darkroom_contract.tracing.tracing import CLOSE_SECONDS, Attributes, Tracing

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = "traceparent"
_QUERY = "url.query"
_NANOSECONDS = 1_000_000_000


class OtlpTracing(Tracing):
    """Sends spans in batches from a thread of its own."""

    def __init__(self, service_name: str, environment: Mapping[str, str]) -> None:
        self.tracer_provider = TracerProvider(resource=_resource(service_name, environment), shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(_QueryRemover())
        self.tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self.tracer_provider.get_tracer("darkroom", version("darkroom"))

    @contextmanager
    def span(self, name: str, attributes: Attributes | None = None, parent: str | None = None) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            context=_context(parent),
            attributes=attributes,
            record_exception=False,  # Messages may quote prompts.
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(StatusCode.ERROR)
                raise

    def record(
        self, name: str, began: float, ended: float, attributes: Attributes | None = None, parent: str | None = None
    ) -> None:
        span = self._tracer.start_span(
            name, context=_context(parent), attributes=attributes, start_time=round(began * _NANOSECONDS)
        )
        span.end(round(max(began, ended) * _NANOSECONDS))

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(_TRACEPARENT)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        closing = threading.Thread(target=self.tracer_provider.shutdown, name="close traces", daemon=True)
        closing.start()
        closing.join(seconds)


class _QueryRemover(SpanProcessor):
    """Removes the query string of requests: it contains prompts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.attributes is not None and _QUERY in span.attributes:
            span.set_attribute(_QUERY, "REDACTED")

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing to do."""


def _context(parent: str | None) -> Context | None:
    return None if parent is None else _PROPAGATOR.extract({_TRACEPARENT: parent}, context=Context())


def _resource(service_name: str, environment: Mapping[str, str]) -> Resource:
    """The environment's resource, completed."""
    own = {"service.version": version("darkroom")}
    names_service = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    named = {} if names_service else {"service.name": service_name, "service.namespace": "darkroom"}
    return Resource.create(own | named)
