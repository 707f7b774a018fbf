"""The condition PodReady of a run whose pod exists. Pure; used by `transitions.py`."""

from datetime import datetime, timedelta
from typing import NamedTuple

from darkroom_contract.status import ConditionStatus
from darkroom_operator.pods.runner_pod import RunnerPod

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

NODE_LOST_ADVICE = (
    "The node does not respond, so the slot stays occupied until the pod is gone. Restore the node. If it is lost for "
    "good, delete the Node object, or delete the pod with --force."
)
DELETION_OVERDUE = timedelta(seconds=30)
"""A pod that exists this long after the end of its grace period is on a node that does not respond."""


class PodReady(NamedTuple):
    """Status, reason and message of the condition."""

    status: ConditionStatus
    reason: str
    message: str


def pod_ready(pod: RunnerPod, now: datetime) -> PodReady:
    if is_on_lost_node(pod, now):
        return PodReady(UNKNOWN, "NodeLost", _lost_node_message(pod))
    if pod.deleting:
        return PodReady(FALSE, "Terminating", "The pod is being deleted.")
    if pod.started is None:
        return PodReady(FALSE, "Starting", pod.pending_reason or "The pod has been created.")
    if not pod.has_run:
        return PodReady(FALSE, "Starting", "The pod was taken over, but does not have the run document yet.")
    return PodReady(TRUE if pod.ready else FALSE, "Running", "The run is in progress.")


def is_on_lost_node(pod: RunnerPod, now: datetime) -> bool:
    """Whether the pod's node does not respond: Kubernetes says so, or the node has not carried out a deletion."""
    overdue = pod.deletion_deadline is not None and bool(pod.node) and now >= pod.deletion_deadline + DELETION_OVERDUE
    return not pod.terminated and (pod.node_lost or overdue)


def _lost_node_message(pod: RunnerPod) -> str:
    node = pod.node or "NODE"
    return (
        f"Node {node} does not respond. The run may still be active, so the slot stays occupied until its pod is gone. "
        f"Restore the node. If it is lost for good: kubectl delete node {node}, or "
        f"kubectl delete pod {pod.name} --force. Then the job is retried."
    )
