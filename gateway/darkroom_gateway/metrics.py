"""Prometheus metrics of the gateway. One set per application; served by main.py on a separate port.

The cardinality of labels is bounded: paths are templates or `none`, and unknown methods are `other`. No label contains
the name of a job, a model or a key.
"""

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info, default

from darkroom_contract.names import Kind
from darkroom_contract.webhooks import DeliveryState
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import METRICS_PORT

PROBES = "^/(healthz|readyz)$"
"""Not counted: probes are frequent, and an unready gateway has not failed a user's request."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

IDLE_SECONDS = 10
"""Idle timeout of connections to the metrics port."""

DURATION_BUCKETS_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._submissions = Counter(
            "darkroom_submissions", "Jobs created by the gateway, by kind.", ["kind"], registry=self.registry
        )
        self._refused_keys = Counter(
            "darkroom_refused_keys", "Requests refused for want of a good API key.", registry=self.registry
        )
        self._limited = Counter(
            "darkroom_limited_requests",
            "Requests refused with 429, by limit: rate, queue or quota.",
            ["limit"],
            registry=self.registry,
        )
        for limit in ("rate", "queue", "quota"):
            self._limited.labels(limit)
        self._webhook_attempts = Counter(
            "darkroom_webhook_attempts",
            "Attempts to deliver a webhook, by the state of its delivery after them.",
            ["state"],
            registry=self.registry,
        )
        self._webhooks_pending = Gauge(
            "darkroom_webhooks_pending", "Events that webhooks have not got yet.", registry=self.registry
        )
        for state in DeliveryState:
            self._webhook_attempts.labels(state.value)
        for kind in Kind:
            # `rate()` misses the first event of a counter that is created by it.
            self._submissions.labels(kind.value)

    def count_submission(self, kind: Kind) -> None:
        self._submissions.labels(kind.value).inc()

    def count_refused_key(self) -> None:
        self._refused_keys.inc()

    def count_limited(self, limit: str) -> None:
        """`limit` is `rate`, `queue` or `quota`."""
        self._limited.labels(limit).inc()

    def count_webhook(self, state: DeliveryState) -> None:
        """`state` is that of the delivery after an attempt."""
        self._webhook_attempts.labels(state.value).inc()

    def set_pending_webhooks(self, count: int) -> None:
        self._webhooks_pending.set(count)

    def measure_requests(self, app: FastAPI) -> None:
        """Install the middleware that counts and times requests."""
        count = default(
            registry=self.registry,
            latency_lowr_buckets=DURATION_BUCKETS_SECONDS,
            # An event stream lasts as long as its job: measure the time to its start.
            should_exclude_streaming_duration=True,
        )
        assert count is not None  # None only if the registry already has these metrics.

        def count_bounded(info: Info) -> None:
            info.method = info.method if info.method in METHODS else "other"
            count(info)

        Instrumentator(excluded_handlers=[PROBES], registry=self.registry).add(count_bounded).instrument(app)

    def serve(self, host: str, port: int) -> None:
        """Serve `/metrics` in a thread until the process ends. Raises `SettingsError` when the port is unavailable."""
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise SettingsError(
                f"{METRICS_PORT} is {port}, but the gateway can't listen on {host}:{port}: {error.strerror}. "
                "Choose another port."
            ) from error
        # The server has a thread per connection, and no idle timeout by default.
        handler = server.RequestHandlerClass
        assert isinstance(handler, type)
        server.RequestHandlerClass = type("Handler", (handler,), {"timeout": IDLE_SECONDS})
