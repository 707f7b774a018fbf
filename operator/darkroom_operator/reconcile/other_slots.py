"""Whether the holder of another slot waits for what a pod of this slot has: quota, or a GPU. Pure."""

from darkroom_contract.jobs import Job
from darkroom_contract.status import ConditionType
from darkroom_operator.pods.runner_pod import UNSCHEDULABLE
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find


def exceeds_quota(job: Job) -> bool:
    """Whether the pod of the job's next run exceeded a quota, as `executor.py` has recorded."""
    admitted, ready = find(job.status, ConditionType.ADMITTED), find(job.status, ConditionType.POD_READY)
    return admitted is not None and admitted.reason == transitions.QUOTA_EXCEEDED and ready is None


def other_slot_exceeds_quota(number: int, snapshot: Snapshot) -> bool:
    """Whether the holder of another slot waits for a quota: a pod of this slot could only compete with it."""
    others = [each for each in snapshot.slots.values() if each.holder and each.number != number]
    jobs = (snapshot.jobs.get(each.holder or "") for each in others)
    return any(job is not None and exceeds_quota(job) for job in jobs)


def other_slot_is_unschedulable(number: int, snapshot: Snapshot) -> bool:
    """Whether the ungated pod of another slot found no node: it may be waiting for the GPU of this slot's pod."""
    pods = (
        snapshot.pods.get(each.pod_uid) for each in snapshot.slots.values() if each.pod_uid and each.number != number
    )
    return any(
        pod is not None and not pod.gated and not pod.started and pod.waiting_reason == UNSCHEDULABLE for pod in pods
    )
