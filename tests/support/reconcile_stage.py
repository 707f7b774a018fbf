"""One API, one operator, one user and one node: the stage of the reconcile loop's tests."""

from collections.abc import Callable
from typing import Any

from darkroom_contract.names import slot_lease_name
from darkroom_operator.telemetry.metrics import Metrics
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, SimulatedUser

LEASE = slot_lease_name(0)
WARM: dict[str, Any] = {"redis_url": "redis://localhost:1"}


class Stage:
    """One API, one operator, one user, one node."""

    def __init__(self, slots: int = 1) -> None:
        self.api = SimulatedApi()
        self.user, self.node = SimulatedUser(self.api), SimulatedNode(self.api)
        self.operator = SimulatedOperator(self.api, slots)

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.api.get(GENERATE, name).get("status", {})
        return status

    def phase(self, name: str) -> str:
        phase: str = self.status(name).get("phase", "")
        return phase

    def rest(self) -> list[str]:
        """The operator does all it can. Returns the names of the pods that may run then."""
        self.operator.rest()
        return self.node.live()

    def step_until(self, what: str) -> None:
        """Until the operator is about to send such a request."""
        for _ in range(200):
            self.operator.see_all()
            self.operator.step(1)
            if self.operator.kube.sending == what:
                return
        raise AssertionError(f"no request to {what}")


class WarmStage(Stage):
    """An operator that keeps pods warm."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = Metrics()
        self.operator = SimulatedOperator(self.api, metrics=self.metrics, **WARM)

    def run(self) -> str:
        """The operator does all it can, and the only pod begins what it is given."""
        [pod] = self.rest()
        if self.node.runner(pod) is None:
            self.node.start(pod)
        self.node.poll(pod)
        self.rest()
        return pod

    def report(self, pod: str, then: Callable[[], Any] | None = None) -> None:
        """The run ends well, its process waits, and the operator reads that."""
        self.node.report(pod)
        self.operator.see_all()
        self.operator.read_outcomes(self.node.published)
        if then is not None:
            then()

    def starts(self, start: str) -> float | None:
        labels = {"kind": "GenerateJob", "start": start}
        return self.metrics.registry.get_sample_value("darkroom_run_starts_total", labels)

    def labels(self, pod: str) -> dict[str, str]:
        labels: dict[str, str] = self.api.get("pods", pod)["metadata"]["labels"]
        return labels
