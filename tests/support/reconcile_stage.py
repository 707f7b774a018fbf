"""One API, one operator, one user and one node: the stage of the reconcile loop's tests."""

from typing import Any

from darkroom_contract.names import slot_lease_name
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, SimulatedUser

LEASE = slot_lease_name(0)


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
