"""Records spans, if OpenTelemetry's environment variables name a collector. Used by gateway, operator and runner.

`open_tracing` imports OpenTelemetry's SDK only then: it takes 0.3 s of CPU time, and is an extra of the distribution
(`tracing`). Spans contain names of jobs and numbers, never prompts or addresses of files.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from darkroom_contract.environment import OTEL_ENDPOINTS, OTEL_EXPORTER, OTEL_PROTOCOLS, OTEL_SDK_DISABLED

log = logging.getLogger(__name__)

Attributes = Mapping[str, str | int | float | bool]

CLOSE_SECONDS = 2.0
"""How long a process that ends waits for the collector."""

PROTOCOL = "http/protobuf"


class Tracing:
    """Records nothing. The base class of `otlp.OtlpTracing`."""

    tracer_provider: Any = None
    """OpenTelemetry's `TracerProvider`; None when nothing is recorded."""

    @contextmanager
    def span(self, name: str, attributes: Attributes | None = None, parent: str | None = None) -> Iterator[None]:
        """A span around the block, below the block's own span, or below `parent`, a traceparent."""
        yield

    def record(
        self, name: str, began: float, ended: float, attributes: Attributes | None = None, parent: str | None = None
    ) -> None:
        """Record a span that has ended; times in Unix time."""

    def traceparent(self) -> str | None:
        """The traceparent of the current span; None outside of spans."""
        return None

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is recorded. Waits at most `seconds`: a collector that is down must not keep a process alive."""


def open_tracing(service_name: str, environment: Mapping[str, str]) -> Tracing:
    """The tracing that the environment asks for. `service_name` is used unless the environment has one."""
    if not is_wanted(environment):
        return Tracing()
    protocol = _first(environment, OTEL_PROTOCOLS)
    if protocol not in ("", PROTOCOL):
        log.warning("no traces are sent: the protocol is %s, and only %s is supported", protocol, PROTOCOL)
        return Tracing()
    try:
        from darkroom_contract.tracing.otlp import OtlpTracing
    except ImportError as error:
        log.warning(
            "no traces are sent: %s is not installed. Install darkroom[tracing], or set %s=true.",
            error.name,
            OTEL_SDK_DISABLED,
        )
        return Tracing()
    log.info("traces are sent to %s", _first(environment, OTEL_ENDPOINTS))
    return OtlpTracing(service_name, environment)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector, and does not turn traces off."""
    if environment.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return False
    return bool(_first(environment, OTEL_ENDPOINTS)) and (environment.get(OTEL_EXPORTER) or "otlp").strip() == "otlp"


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name].strip() for name in names if environment.get(name)), "")
