"""What the gateway counts, for Prometheus. One set for each application; served by main.py on a port of its own.

Labels have few values, whoever asks: paths are templates, what matches none is `none`, and a method that HTTP does not
know is `other`. No name of a job, a model or a key is among them.
"""

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, start_http_server
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info, default

from darkroom_contract.names import Kind
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import METRICS_PORT

PROBES = "^/(healthz|readyz)$"
"""Not counted: they come every few seconds, and a gateway that is not ready for a while has failed nobody's request."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

IDLE_SECONDS = 10
"""How long a connection to the metrics' port may say nothing."""

DURATION_BUCKETS_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._submissions = Counter(
            "darkroom_submissions", "Jobs created by the gateway, by kind.", ["kind"], registry=self.registry
        )
        self._refused_keys = Counter(
            "darkroom_refused_keys", "Requests refused for want of a good API key.", registry=self.registry
        )
        for kind in Kind:
            # A counter that appears only with its first event loses that event in every rate.
            self._submissions.labels(kind.value)

    def count_submission(self, kind: Kind) -> None:
        self._submissions.labels(kind.value).inc()

    def count_refused_key(self) -> None:
        self._refused_keys.inc()

    def measure_requests(self, app: FastAPI) -> None:
        """Installs the middleware that counts and times the requests of the application."""
        count = default(
            registry=self.registry,
            latency_lowr_buckets=DURATION_BUCKETS_SECONDS,
            # A stream of events lasts as long as its job: what counts is how soon it began.
            should_exclude_streaming_duration=True,
        )
        assert count is not None  # Only a registry that has these metrics already gives none.

        def count_bounded(info: Info) -> None:
            info.method = info.method if info.method in METHODS else "other"
            count(info)

        Instrumentator(excluded_handlers=[PROBES], registry=self.registry).add(count_bounded).instrument(app)

    def serve(self, host: str, port: int) -> None:
        """Answers `/metrics` in a thread until the process ends. Raises `SettingsError` when the port can't be had."""
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise SettingsError(
                f"{METRICS_PORT} is {port}, and {host}:{port} can't be listened on: {error.strerror}. "
                "Choose another port."
            ) from error
        # It has a thread for each connection, and none of its own accord ends one that says nothing.
        handler = server.RequestHandlerClass
        assert isinstance(handler, type)
        server.RequestHandlerClass = type("Handler", (handler,), {"timeout": IDLE_SECONDS})
