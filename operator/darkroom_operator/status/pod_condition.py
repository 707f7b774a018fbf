"""The condition PodReady: how the pod of a run stands, in words for people. Pure."""

from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.status import Condition, ConditionStatus, ConditionType
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.status.conditions import condition

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

NODE_LOST_ADVICE = (
    "Its node does not answer, so the slot is held until the pod is gone. Bring the node back; if it is off for good, "
    "delete the Node, or the pod with --force."
)
DELETION_OVERDUE = timedelta(seconds=30)
"""After its grace period a pod that its node has not ended by then is on a node that does not answer."""


def pod_condition(job: Job, pod: RunnerPod, now: datetime) -> Condition:
    if is_on_lost_node(pod, now):
        status, reason, words = UNKNOWN, "NodeLost", _silent_node_words(pod)
    elif pod.deleting:
        status, reason, words = FALSE, "Terminating", "The pod is being deleted."
    elif pod.started is None:
        status, reason, words = FALSE, "Starting", pod.pending_reason or "The pod has been created."
    else:
        status, reason, words = (TRUE if pod.ready else FALSE), "Running", "The run is going on."
    return condition(ConditionType.POD_READY, status, reason, words, now, job.generation)


def is_on_lost_node(pod: RunnerPod, now: datetime) -> bool:
    """Whether the pod's node does not answer: Kubernetes says so, or a deletion that it should have carried out is
    overdue."""
    overdue = pod.deletion_deadline is not None and bool(pod.node) and now >= pod.deletion_deadline + DELETION_OVERDUE
    return not pod.terminated and (pod.lost or overdue)


def _silent_node_words(pod: RunnerPod) -> str:
    node = pod.node or "NODE"
    return (
        f"Node {node} does not answer. The run may still be working, so the slot is held until its pod is gone. Bring "
        f"the node back; if it is off for good: kubectl delete node {node}, or kubectl delete pod {pod.name} --force. "
        "The job is then tried again."
    )
