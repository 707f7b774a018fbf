"""Spans of requests: FastAPI's own, with the gateway's tracer. Used by app.py.

FastAPI continues the trace of a request's `traceparent`, and names spans by path templates. The query string, which
contains prompts, is removed (darkroom_contract/tracing/otlp.py). Metrics and logs stay with Prometheus and the log.
"""

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig

from darkroom_contract.tracing.tracing import Tracing

PROBES = ("/healthz", "/readyz")


def telemetry_of(tracing: Tracing) -> TelemetryConfig:
    """FastAPI's configuration. Every part is set, so that no environment variable turns on another one."""
    return {
        "tracing": tracing.tracer_provider is not None,
        "tracer_provider": tracing.tracer_provider,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": _is_probe,
    }


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    """The path may begin with the prefix of a proxy, because FastAPI asks before any middleware runs."""
    path: str = scope.get("path", "")
    return path.endswith(PROBES)
