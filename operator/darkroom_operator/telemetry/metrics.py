"""Counters and histograms of the operator. One object per process with its own registry; nothing is global.

The end of a run is counted by the operator whose status update the API server has accepted, so sums over all operators
are correct. Gauges are in `gauges.py`.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

from darkroom_contract.names import Kind
from darkroom_contract.status import RunStart
from darkroom_operator.status.run_ends import RunEnd

REQUEST_UNANSWERED = "unanswered"
"""In place of a status code."""

RUN_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
RECONCILE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Dashboards and alerts rely on the names of the metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._runs = Counter(
            "darkroom_runs_total",
            "Runs that have ended: succeeded, failed for good, retried (another follows), interrupted, suspended.",
            ["kind", "result", "reason"],
            registry=self.registry,
        )
        self._run_seconds = Histogram(
            "darkroom_run_duration_seconds",
            "From the start of a run's container to its end.",
            ["kind"],
            buckets=RUN_SECONDS,
            registry=self.registry,
        )
        self._starts = Counter(
            "darkroom_run_starts_total",
            "Runs that were started: cold (in a new pod) or warm (in the idle pod of an earlier run).",
            ["kind", "start"],
            registry=self.registry,
        )
        self._quota_refusals = Counter(
            "darkroom_quota_refusals_total",
            "Pods that exceeded a ResourceQuota and are retried.",
            registry=self.registry,
        )
        self._requests = Counter(
            "darkroom_api_requests_total",
            "Requests of the operator to the API server, without watches.",
            ["method", "code"],
            registry=self.registry,
        )
        self._events = Counter(
            "darkroom_events_total",
            "Kubernetes Events on jobs: posted, updated (a repeat), limited (too many of one job), dropped (too many "
            "waited) or refused by the API server.",
            ["result"],
            registry=self.registry,
        )
        self._reconcile_seconds = Histogram(
            "darkroom_reconcile_duration_seconds",
            "Duration of a reconcile pass with all of its requests.",
            buckets=RECONCILE_SECONDS,
            registry=self.registry,
        )

    def count_run(self, end: RunEnd) -> None:
        self._runs.labels(end.kind.value, end.result, end.reason).inc()
        if end.seconds is not None:
            self._run_seconds.labels(end.kind.value).observe(end.seconds)

    def count_start(self, kind: Kind, start: RunStart) -> None:
        self._starts.labels(kind.value, start.value.lower()).inc()

    def count_quota_refusal(self) -> None:
        self._quota_refusals.inc()

    def count_request(self, method: str, code: int | None) -> None:
        """`code` is None for a request without a response."""
        self._requests.labels(method, REQUEST_UNANSWERED if code is None else str(code)).inc()

    def count_event(self, result: str) -> None:
        self._events.labels(result).inc()

    def time_reconcile(self, seconds: float) -> None:
        self._reconcile_seconds.observe(seconds)
